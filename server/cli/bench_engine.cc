// tandem bench-engine: prefill and decode rates of the engine alone, beside what the machine could
// do.
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "server/cli/bench_report.h"
#include "server/cli/commands.h"
#include "server/cli/engine_bench.h"
#include "server/cli/json_text.h"
#include "server/cli/option_value.h"
#include "server/cli/process_facts.h"
#include "server/cli/process_options.h"
#include "server/cli/progress_bar.h"

namespace tandem {
namespace {

using Phase = EngineLoad::Phase;

// What a small decode worker holds, and what makes its first token.
constexpr EngineLoad kDecodeEngine = {
    .phase = Phase::kDecode, .num_sequences = 16, .context = 1024, .num_tokens = 8};
constexpr EngineLoad kFirstPrompt = {.phase = Phase::kPrefill, .num_tokens = 16};

absl::StatusOr<std::vector<EngineLoad>> ParseLoads(const Config& config) {
  ASSIGN_OR_RETURN(std::vector<EngineLoad> loads, ParsePrompts(config.prompts()));
  const EngineLoad defaults = {.context = static_cast<int>(config.context()),
                               .num_tokens = static_cast<int>(config.new_tokens())};
  ASSIGN_OR_RETURN(const std::vector<EngineLoad> batches,
                   NameOption("batches", ParseBatches(config.batches(), defaults)));
  loads.insert(loads.end(), batches.begin(), batches.end());
  return loads;
}

// Brings up an engine as a decode worker has it, and takes it down again.
absl::Status MeasureStart(const RunnerOptions& options, BenchReport& report) {
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.model_path));
  EngineLoad decode = kDecodeEngine;
  decode.context = std::min(decode.context, config.max_position - decode.num_tokens);
  decode.num_sequences = std::min(decode.num_sequences, options.max_num_batched_tokens);
  if (decode.context < kFirstPrompt.num_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model's context of ", config.max_position, " tokens is too short"));
  }
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(const std::unique_ptr<EngineBench> bench,
                   EngineBench::Create(options, {decode, kFirstPrompt}));
  report.start.load = absl::Now() - start;
  RETURN_IF_ERROR(bench->WarmUp(kFirstPrompt));
  report.start.first_token = ProcessAge();
  report.start.prompt_tokens = kFirstPrompt.num_tokens;
  report.start.disk_page_faults = DiskPageFaults();

  RETURN_IF_ERROR(bench->WarmUp(decode, /*computed_context=*/false));
  const ResidentMemory memory = ReadResidentMemory();
  report.memory.decode_load = decode;
  report.memory.decode_resident_bytes = memory.now;
  report.memory.decode_file_bytes = memory.now_of_files;
  return absl::OkStatus();
}

absl::Status MeasureRows(EngineBench& bench, const std::vector<EngineLoad>& loads, int repetitions,
                         BenchReport& report) {
  ProgressBar bar;
  const int num_passes = static_cast<int>(loads.size()) * repetitions;
  int done = 0;
  for (const EngineLoad& load : loads) {
    BenchRow row = {.load = load, .work = bench.Work(load)};
    RETURN_IF_ERROR(bench.WarmUp(load));
    for (int i = 0; i < repetitions; ++i) {
      ASSIGN_OR_RETURN(const absl::Duration time, bench.Pass(load));
      row.times.push_back(time);
      bar.Show(load.Name(), ++done, num_passes);
    }
    report.rows.push_back(std::move(row));
  }
  return absl::OkStatus();
}

absl::StatusOr<BenchReport> Bench(const Config& config) {
  ASSIGN_OR_RETURN(const RunnerOptions options, MakeRunnerOptions(config));
  ASSIGN_OR_RETURN(const std::vector<EngineLoad> loads, ParseLoads(config));
  BenchReport report;
  RETURN_IF_ERROR(MeasureStart(options, report));

  ASSIGN_OR_RETURN(const std::unique_ptr<EngineBench> bench, EngineBench::Create(options, loads));
  report.model_name = bench->runner().config().name;
  report.weights = bench->runner().weight_counts();
  report.isa = bench->runner().isa();
  report.num_threads = options.ops.num_threads;
  RETURN_IF_ERROR(MeasureRows(*bench, loads, static_cast<int>(config.repetitions()), report));
  // Before the limits take memory. The system counts the peak less exactly than what is there now.
  report.memory.peak_bytes =
      std::max(ReadResidentMemory().peak, report.memory.decode_resident_bytes);

  const MatrixCounts& layers = report.weights.layers;
  const int weight_bits = 2 * layers.byte_weights > layers.integer_weights ? 8 : 4;
  ASSIGN_OR_RETURN(
      report.limits,
      MeasureMachineLimits(options.ops, layers.bytes + report.weights.head.bytes, weight_bits));
  return report;
}

}  // namespace

absl::Status RunBenchEngine(const Config& config) {
  ASSIGN_OR_RETURN(const BenchReport report, Bench(config));
  if (config.json()) {
    std::cout << JsonText(BenchJson(report, config)) << std::endl;
  } else {
    std::cout << BenchTable(report) << std::flush;
  }
  return absl::OkStatus();
}

}  // namespace tandem
