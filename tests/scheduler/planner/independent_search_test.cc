#include "scheduler/planner/independent_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tandem {
namespace {

constexpr ModelDivisors kModel = {72, 64};

// A goodput for every instance, the same whenever it is asked: unrunnable, 0, or one of a few
// values.
absl::StatusOr<GoodputScore> RandomScore(const Placement& placement, uint32_t seed) {
  std::seed_seq sequence = {seed, static_cast<uint32_t>(placement.prefill.tp),
                            static_cast<uint32_t>(placement.prefill.pp)};
  std::mt19937 generator(sequence);
  const uint32_t draw = generator() % 40;
  if (draw < 8) return absl::FailedPreconditionError("too small");
  return GoodputScore{.per_gpu = draw < 12 ? 0.0 : draw * 0.125};
}

// The pair of instances that serves most per GPU when both are replicated in proportion.
double BestGoodputOfAllPairs(const PhaseScorers& scorers, int num_gpus) {
  double best = 0;
  for (const Placement& prefill : EnumerateInstances(kModel, num_gpus, num_gpus)) {
    for (const Placement& decode : EnumerateInstances(kModel, num_gpus, num_gpus)) {
      const auto prefill_score = scorers.prefill(prefill);
      const auto decode_score = scorers.decode(decode);
      if (!prefill_score.ok() || !decode_score.ok()) continue;
      if (prefill_score->per_gpu == 0 || decode_score->per_gpu == 0) continue;
      const double prefill_gpus_per_rate =
          prefill.NumGpus() / (prefill_score->per_gpu * prefill.NumGpus());
      const double decode_gpus_per_rate =
          decode.NumGpus() / (decode_score->per_gpu * decode.NumGpus());
      best = std::max(best, 1 / (prefill_gpus_per_rate + decode_gpus_per_rate));
    }
  }
  return best;
}

TEST(IndependentSearchTest, Algorithm1FindsWhatAnExhaustiveSearchOfPairsDoes) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const PhaseScorers scorers = {
        [seed](const Placement& placement) { return RandomScore(placement, seed); },
        [seed](const Placement& placement) { return RandomScore(placement, seed + 1000); }};
    const auto plan = RankPhases(EnumerateInstances(kModel, 8, 8), scorers, {});
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_NEAR(plan->GoodputPerGpu(), BestGoodputOfAllPairs(scorers, 8), 1e-12) << seed;
  }
}

TEST(IndependentSearchTest, WithoutAWinnerOfEachPhaseNothingIsServed) {
  const PhaseScorers scorers = {[](const Placement&) { return GoodputScore{.per_gpu = 2}; },
                                [](const Placement&) { return GoodputScore(); }};
  const auto plan = RankPhases(EnumerateInstances(kModel, 4, 4), scorers, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->HasWinner());
  EXPECT_EQ(plan->GoodputPerGpu(), 0);
}

TEST(IndependentSearchTest, ReplicasAreRoundedUp) {
  EXPECT_EQ(NumReplicas(/*demand=*/10, /*per_gpu=*/1.5, /*num_gpus=*/2), 4);
  EXPECT_EQ(NumReplicas(9, 1.5, 2), 3);
  EXPECT_EQ(NumReplicas(0, 1.5, 2), 1);
}

}  // namespace
}  // namespace tandem
