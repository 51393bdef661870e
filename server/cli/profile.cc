// tandem profile: times steps of the engine, fits the latency model and writes the profile that the
// simulator and the planner read.
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/cli/busy_neighbours.h"
#include "server/cli/commands.h"
#include "server/cli/json_text.h"
#include "server/cli/process_facts.h"
#include "server/cli/process_options.h"
#include "server/cli/profile_report.h"
#include "server/cli/progress_bar.h"
#include "server/cli/step_probe.h"
#include "server/cli/text_file.h"
#include "server/worker/worker.h"

namespace tandem {
namespace {

absl::StatusOr<std::vector<StepPoint>> ParseGrid(const Config& config) {
  StepGridOptions options;
  ASSIGN_OR_RETURN(options.chunks, ParseNumbers(config.chunk_tokens(), 1));
  ASSIGN_OR_RETURN(options.stored, ParseNumbers(config.stored_tokens(), 0));
  ASSIGN_OR_RETURN(options.batches, ParseNumbers(config.decode_batches(), 1));
  ASSIGN_OR_RETURN(options.contexts, ParseNumbers(config.decode_contexts(), 1));
  return MakeStepGrid(options);
}

// One repetition of every point after another, so that a machine that becomes slower on the way
// does so for all of them. The first round only warms up.
absl::Status TimePoints(StepProbe& probe, int repetitions, std::vector<ProfilePoint>* points) {
  ProgressBar bar;
  const int num_steps = static_cast<int>(points->size()) * (repetitions + 1);
  int done = 0;
  for (int round = 0; round <= repetitions; ++round) {
    for (ProfilePoint& point : *points) {
      ASSIGN_OR_RETURN(const absl::Duration time, probe.Time(point.step));
      if (round > 0) point.times.push_back(time);
      bar.Show(round == 0 ? "warm-up" : "step", ++done, num_steps);
    }
  }
  return absl::OkStatus();
}

// INVALID_ARGUMENT also where the file of --output, which has `known`, is of another model.
absl::StatusOr<ProfileReport> MeasureProfile(const Config& config, const Profile& known) {
  ASSIGN_OR_RETURN(const RunnerOptions options, MakeRunnerOptions(config));
  ASSIGN_OR_RETURN(const std::vector<StepPoint> grid, ParseGrid(config));
  ASSIGN_OR_RETURN(const std::unique_ptr<StepProbe> probe, StepProbe::Create(options));
  if (!known.instances.empty() && known.instances[0].model != probe->runner().config().name) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.output(), " is of another model: ", known.instances[0].model));
  }
  ProfileReport report;
  for (const StepPoint& point : grid) {
    if (probe->Fits(point)) report.points.push_back({.step = point, .times = {}});
  }
  report.num_left_out = static_cast<int>(grid.size() - report.points.size());
  if (report.points.empty()) {
    return absl::InvalidArgumentError("no step of the grid fits the model and --kv-cache-bytes");
  }
  std::vector<StepPoint> steps;
  for (const ProfilePoint& point : report.points) steps.push_back(point.step);
  ASSIGN_OR_RETURN(const auto neighbours,
                   BusyNeighbours::Start(options, static_cast<int>(config.neighbours()), steps));
  RETURN_IF_ERROR(TimePoints(*probe, static_cast<int>(config.repetitions()), &report.points));

  ModelRunner& runner = probe->runner();
  const KvLayout& layout = runner.kv_cache().layout();
  const int threads = options.ops.num_threads;
  report.instance = {.model = runner.config().name,
                     .device = DeviceName(CpuName(), threads, runner.isa()),
                     .tp = static_cast<int>(config.tp()),
                     .pp = static_cast<int>(config.pp()),
                     .threads = threads,
                     .block_size = layout.block_size,
                     .num_kv_tokens = int64_t{runner.kv_cache().num_blocks()} * layout.block_size,
                     .kv_bytes_per_token = layout.BlockBytes() / layout.block_size,
                     .num_layers = layout.num_layers,
                     .weight_bytes = WeightFileBytes(config.model()),
                     .max_num_batched_tokens = runner.max_num_batched_tokens(),
                     .prefill_batch_tokens = SaturatingTokens(runner.isa())};
  FitReport(&report);
  return report;
}

// What the file has, none if it is new. Asked before the measurement, which takes minutes.
absl::StatusOr<Profile> KnownProfile(const std::string& path) {
  RETURN_IF_ERROR(CheckWritable(path));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  if (text.empty()) return Profile();
  absl::StatusOr<Profile> profile = ParseProfile(text);
  if (!profile.ok()) return Annotate(profile.status(), path);
  return profile;
}

// Adds the instance to those that the file has; one of as many ranks and threads is replaced.
absl::Status WriteProfile(const std::string& path, const InstanceProfile& instance,
                          Profile profile) {
  std::vector<InstanceProfile>& instances = profile.instances;
  std::erase_if(instances, [&](const InstanceProfile& other) {
    return other.tp == instance.tp && other.pp == instance.pp && other.threads == instance.threads;
  });
  instances.push_back(instance);
  return WriteFile(path, [&](std::ostream& out) { out << JsonText(ProfileJson(profile)) << "\n"; });
}

}  // namespace

absl::Status RunProfile(const Config& config) {
  Profile known;
  if (!config.output().empty()) {
    ASSIGN_OR_RETURN(known, KnownProfile(config.output()));
  }
  ASSIGN_OR_RETURN(const ProfileReport report, MeasureProfile(config, known));
  if (!config.output().empty()) {
    RETURN_IF_ERROR(WriteProfile(config.output(), report.instance, std::move(known)));
  }
  if (config.json()) {
    std::cout << JsonText(ProfileReportJson(report)) << std::endl;
    return absl::OkStatus();
  }
  std::cout << ProfileTable(report);
  if (!config.output().empty()) std::cout << "written  " << config.output() << "\n";
  std::cout << std::flush;
  return absl::OkStatus();
}

}  // namespace tandem
