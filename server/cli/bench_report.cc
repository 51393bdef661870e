#include "server/cli/bench_report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "server/cli/commands.h"
#include "server/cli/process_facts.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

constexpr double kMega = 1e6, kGiga = 1e9;

std::string StartLines(const BenchReport& report) {
  const StartFacts& start = report.start;
  const MemoryFacts& memory = report.memory;
  return absl::StrFormat(
      "start    loaded in %.3f s; first token of a %d-token prompt %.2f s after process start "
      "(%d page faults read from disk)\n"
      "memory   peak %.0f MB; decode engine with %d sequences of %d tokens %.0f MB, %.0f MB of it "
      "the mapped file\n",
      absl::ToDoubleSeconds(start.load), start.prompt_tokens,
      absl::ToDoubleSeconds(start.first_token), start.disk_page_faults, memory.peak_bytes / kMega,
      memory.decode_load.num_sequences, memory.decode_load.context,
      memory.decode_resident_bytes / kMega, memory.decode_file_bytes / kMega);
}

std::string LimitsLine(const MachineLimits& limits) {
  return absl::StrFormat(
      "limits   read %.1f GB/s (%.0f MB), %.1f GB/s (%.0f MB, as large as the weights); float32 "
      "%.0f GFLOP/s; %d x 8 bits %.0f GFLOP/s\n",
      limits.read_bytes_per_s / kGiga, limits.buffer_bytes / kMega,
      limits.weight_read_bytes_per_s / kGiga, limits.weight_bytes / kMega,
      limits.float_flop_per_s / kGiga, limits.weight_bits, limits.integer_flop_per_s / kGiga);
}

std::string RowLine(const BenchRow& row, const MachineLimits& limits) {
  const double tokens = static_cast<double>(row.load.TotalTokens());
  return absl::StrFormat(
      "%-28s %8.1f %-19s %9.2f %9.2f %7.1f %7.0f%% %9.3f %9.1f %7.0f%%\n", row.load.Name(),
      row.TokensPerSecond(),
      absl::StrFormat("(%.1f..%.1f)", row.MinTokensPerSecond(), row.MaxTokensPerSecond()),
      row.StepMilliseconds(), row.work.Bytes() / tokens / kMega, row.BytesPerSecond() / kGiga,
      100 * row.BandwidthShare(limits), row.work.Flop() / tokens / kGiga,
      row.FlopPerSecond() / kGiga, 100 * row.ArithmeticShare(limits));
}

ordered_json OptionsJson(const Config& config) {
  return {{"threads", config.threads()},
          {"cpus", config.cpus()},
          {"isa", config.isa()},
          {"kv_cache_dtype", config.kv_cache_dtype()},
          {"block_size", config.block_size()},
          {"max_num_batched_tokens", config.max_num_batched_tokens()},
          {"quantize_activations", config.quantize_activations()},
          {"prompts", config.prompts()},
          {"batches", config.batches()},
          {"context", config.context()},
          {"new_tokens", config.new_tokens()},
          {"repetitions", config.repetitions()}};
}

ordered_json LimitsJson(const MachineLimits& limits) {
  return {{"read_bytes_per_s", limits.read_bytes_per_s},
          {"read_buffer_bytes", limits.buffer_bytes},
          {"weight_read_bytes_per_s", limits.weight_read_bytes_per_s},
          {"weight_buffer_bytes", limits.weight_bytes},
          {"float_flop_per_s", limits.float_flop_per_s},
          {"integer_flop_per_s", limits.integer_flop_per_s},
          {"integer_weight_bits", limits.weight_bits}};
}

ordered_json RowJson(const BenchRow& row, const MachineLimits& limits) {
  const EngineLoad& load = row.load;
  const LoadWork& work = row.work;
  const auto steps = static_cast<double>(work.num_steps);
  const auto tokens = static_cast<double>(load.TotalTokens());
  ordered_json seconds = ordered_json::array();
  for (absl::Duration time : row.times) seconds.push_back(absl::ToDoubleSeconds(time));
  return {{"name", load.Name()},
          {"phase", load.phase == EngineLoad::Phase::kPrefill ? "prefill" : "decode"},
          {"batch", load.num_sequences},
          {"context", load.context},
          {"new_tokens", load.num_tokens},
          {"tokens_per_s",
           {{"median", row.TokensPerSecond()},
            {"min", row.MinTokensPerSecond()},
            {"max", row.MaxTokensPerSecond()}}},
          {"seconds", seconds},
          {"steps", work.num_steps},
          {"step_ms", row.StepMilliseconds()},
          {"weight_bytes_per_step", static_cast<double>(work.weight_bytes) / steps},
          {"kv_bytes_per_step", static_cast<double>(work.kv_bytes) / steps},
          {"bytes_per_token", static_cast<double>(work.Bytes()) / tokens},
          {"bytes_per_s", row.BytesPerSecond()},
          {"bandwidth_share", row.BandwidthShare(limits)},
          {"flop_per_token", static_cast<double>(work.Flop()) / tokens},
          {"flop_per_s", row.FlopPerSecond()},
          {"arithmetic_share", row.ArithmeticShare(limits)}};
}

}  // namespace

double BenchRow::MedianSeconds() const {
  std::vector<absl::Duration> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  const absl::Duration median =
      sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return absl::ToDoubleSeconds(median);
}

double BenchRow::TokensPerSecond() const {
  return static_cast<double>(load.TotalTokens()) / MedianSeconds();
}

double BenchRow::MinTokensPerSecond() const {
  return static_cast<double>(load.TotalTokens()) /
         absl::ToDoubleSeconds(*std::max_element(times.begin(), times.end()));
}

double BenchRow::MaxTokensPerSecond() const {
  return static_cast<double>(load.TotalTokens()) /
         absl::ToDoubleSeconds(*std::min_element(times.begin(), times.end()));
}

double BenchRow::StepMilliseconds() const {
  return 1000 * MedianSeconds() / static_cast<double>(work.num_steps);
}

double BenchRow::BytesPerSecond() const {
  return static_cast<double>(work.Bytes()) / MedianSeconds();
}

double BenchRow::FlopPerSecond() const {
  return static_cast<double>(work.Flop()) / MedianSeconds();
}

double BenchRow::BandwidthShare(const MachineLimits& limits) const {
  return BytesPerSecond() / limits.BestReadBytesPerSecond();
}

double BenchRow::ArithmeticShare(const MachineLimits& limits) const {
  const double seconds = static_cast<double>(work.integer_flop) / limits.integer_flop_per_s +
                         static_cast<double>(work.float_flop) / limits.float_flop_per_s;
  return seconds / MedianSeconds();
}

std::string BenchTable(const BenchReport& report) {
  const MatrixCounts& layers = report.weights.layers;
  const MatrixCounts& head = report.weights.head;
  std::string table = absl::StrFormat(
      "machine  %s, %d thread%s, %s\n"
      "model    %s, %.1f M weights that a step multiplies, %.1f MB\n",
      CpuName(), report.num_threads, report.num_threads == 1 ? "" : "s", IsaName(report.isa),
      report.model_name, (layers.NumWeights() + head.NumWeights()) / kMega,
      (layers.bytes + head.bytes) / kMega);
  table += StartLines(report) + LimitsLine(report.limits);
  table += absl::StrFormat("\n%-28s %8s %-19s %9s %9s %7s %8s %9s %9s %8s\n", "", "tokens/s",
                           "(min..max)", "ms/step", "MB/token", "GB/s", "of read", "GFLOP/tok",
                           "GFLOP/s", "of peak");
  for (const BenchRow& row : report.rows) table += RowLine(row, report.limits);
  return table;
}

ordered_json BenchJson(const BenchReport& report, const Config& config) {
  const StartFacts& start = report.start;
  const MemoryFacts& memory = report.memory;
  const MatrixCounts& layers = report.weights.layers;
  const MatrixCounts& head = report.weights.head;
  ordered_json rows = ordered_json::array();
  for (const BenchRow& row : report.rows) rows.push_back(RowJson(row, report.limits));
  return {
      {"version", TandemVersion()},
      {"machine",
       {{"cpu", CpuName()},
        {"threads", report.num_threads},
        {"isa", std::string(IsaName(report.isa))}}},
      {"model",
       {{"path", config.model()},
        {"name", report.model_name},
        {"layer_weights", layers.NumWeights()},
        {"layer_weight_bytes", layers.bytes},
        {"head_weights", head.NumWeights()},
        {"head_weight_bytes", head.bytes}}},
      {"options", OptionsJson(config)},
      {"start",
       {{"load_s", absl::ToDoubleSeconds(start.load)},
        {"first_token_s", absl::ToDoubleSeconds(start.first_token)},
        {"prompt_tokens", start.prompt_tokens},
        {"disk_page_faults", start.disk_page_faults}}},
      {"memory",
       {{"peak_bytes", memory.peak_bytes},
        {"decode_sequences", memory.decode_load.num_sequences},
        {"decode_context", memory.decode_load.context},
        {"decode_resident_bytes", memory.decode_resident_bytes},
        {"decode_file_bytes", memory.decode_file_bytes}}},
      {"limits", LimitsJson(report.limits)},
      {"rows", rows},
  };
}

}  // namespace tandem
