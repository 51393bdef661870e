#include "scheduler/planner/simdistserve_scorer.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/confidence_interval.h"

namespace tandem {
namespace {

// A request that does not fit makes the placement one that cannot run this workload.
absl::Status AsUnrunnable(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInvalidArgument) return status;
  return absl::FailedPreconditionError(status.message());
}

}  // namespace

absl::StatusOr<ModelDivisors> FindOptModel(absl::string_view model) {
  // Zhang et al., OPT, table 1 (arXiv 2205.01068); 13B as DistServe has it.
  static const auto* const kModels =
      new std::map<std::string, ModelDivisors>{{"facebook/opt-13b", {40, 40}},
                                               {"facebook/opt-66b", {72, 64}},
                                               {"facebook/opt-175b", {96, 96}}};
  const auto it = kModels->find(std::string(model));
  if (it != kModels->end()) return it->second;
  const auto append_name = [](std::string* out, const auto& entry) { *out += entry.first; };
  return absl::NotFoundError(absl::StrCat("heads and layers of model \"", model,
                                          "\" are not known; known are ",
                                          absl::StrJoin(*kModels, ", ", append_name)));
}

absl::StatusOr<DistServeSetup> MakeDistServeSetup(const DistServeProfile& profile,
                                                  const std::string& model,
                                                  const Placement& placement) {
  DistServeSetup setup;
  setup.is_colocated = !placement.decode.has_value();
  ASSIGN_OR_RETURN(setup.prefill, profile.Find(model, placement.prefill.tp, placement.PrefillPp()));
  if (placement.decode) {
    ASSIGN_OR_RETURN(setup.decode, profile.Find(model, placement.decode->tp, placement.DecodePp()));
  }
  return setup;
}

std::vector<CompatRun> MakeSteadyStateRuns(absl::Span<const RequestLengths> pool,
                                           const SteadyState& steady, uint32_t first_seed) {
  std::vector<CompatRun> runs;
  for (int i = 0; i < steady.num_seeds; ++i) {
    const uint32_t seed = first_seed + i;
    runs.push_back({.lengths = ResampleLengths(pool, steady.num_requests, seed),
                    .gaps = PoissonGaps(steady.num_requests, seed),
                    .num_warmup = static_cast<size_t>(steady.num_warmup)});
  }
  return runs;
}

SimDistServeScorer::SimDistServeScorer(DistServeProfile profile, CompatScorerOptions options,
                                       std::vector<CompatRun> runs)
    : profile_(std::move(profile)), options_(std::move(options)), runs_(std::move(runs)) {}

absl::StatusOr<GoodputScore> SimDistServeScorer::Score(const Placement& placement) const {
  ASSIGN_OR_RETURN(const DistServeSetup setup,
                   MakeDistServeSetup(profile_, options_.model, placement));
  return ScoreSetup(setup, placement.NumGpus(), /*has_output=*/true);
}

absl::StatusOr<GoodputScore> SimDistServeScorer::ScorePrefill(const Placement& placement) const {
  ASSIGN_OR_RETURN(const DistServeSetup setup,
                   MakeDistServeSetup(profile_, options_.model, placement));
  return ScoreSetup(setup, placement.NumGpus(), /*has_output=*/false);
}

absl::StatusOr<GoodputScore> SimDistServeScorer::ScoreDecode(const Placement& placement) const {
  ASSIGN_OR_RETURN(DistServeSetup setup, MakeDistServeSetup(profile_, options_.model, placement));
  setup.is_decode_only = true;
  return ScoreSetup(setup, placement.NumGpus(), /*has_output=*/true);
}

absl::StatusOr<GoodputScore> SimDistServeScorer::ScoreSetup(const DistServeSetup& setup,
                                                            int num_gpus, bool has_output) const {
  GoodputScore score;
  for (const CompatRun& run : runs_) {
    const auto probe = [&](double rate) -> absl::StatusOr<bool> {
      std::vector<CompatRequest> requests = MakeRequests(run.lengths, run.gaps, rate);
      if (!has_output) {
        for (CompatRequest& request : requests) request.output_len = 0;
      }
      return MeetsCompatSlo(setup, requests, options_.slo, run.num_warmup);
    };
    absl::StatusOr<double> goodput =
        BisectRate(options_.rate_bounds, num_gpus, probe, score.num_simulations);
    if (!goodput.ok()) return AsUnrunnable(goodput.status());
    score.samples.push_back(*goodput);
  }
  const MeanInterval interval = MeanWithInterval(score.samples);
  score.per_gpu = interval.mean;
  score.half_width = interval.half_width;
  return score;
}

}  // namespace tandem
