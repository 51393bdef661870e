#include "scheduler/planner/goodput_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <tuple>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ModelDivisors kModel = {72, 64};

// A goodput for every placement, the same whenever it is asked: 0, unrunnable, or one of a few
// values, so that there are ties.
absl::StatusOr<GoodputScore> RandomScore(const Placement& placement, uint32_t seed) {
  std::seed_seq sequence = {seed,
                            static_cast<uint32_t>(placement.cross_node_pp),
                            static_cast<uint32_t>(placement.prefill.tp),
                            static_cast<uint32_t>(placement.prefill.pp),
                            static_cast<uint32_t>(placement.decode ? placement.decode->tp : 0),
                            static_cast<uint32_t>(placement.decode ? placement.decode->pp : 0)};
  std::mt19937 generator(sequence);
  const uint32_t draw = generator() % 40;
  if (draw < 8) return absl::FailedPreconditionError("too small");
  return GoodputScore{.per_gpu = draw < 12 ? 0.0 : draw * 0.125, .num_simulations = 1};
}

PlacementRanking Rank(const std::vector<Placement>& candidates, const PlacementScorer& scorer,
                      int num_threads = 1) {
  auto ranking = RankPlacements(candidates, scorer, {.num_threads = num_threads});
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  return *std::move(ranking);
}

// Every tuple of numbers up to the cluster's size that is a placement by the definition; the first
// of the best, then of the smallest.
std::optional<Placement> BestOfAllTuples(const ClusterShape& cluster, uint32_t seed) {
  std::optional<Placement> best;
  double best_goodput = 0;
  const int max = cluster.NumGpus();
  std::vector<int> tuple(5, 1);
  const auto advance = [&] {
    for (size_t i = tuple.size(); i-- > 0; tuple[i] = 1) {
      if (tuple[i]++ < max) return true;
    }
    return false;
  };
  do {
    const auto [cross, tp_p, pp_p, tp_d] = std::tuple(tuple[0], tuple[1], tuple[2], tuple[3]);
    const int pp_d = tuple[4];
    if (cross > cluster.num_nodes || tp_p * pp_p + tp_d * pp_d > cluster.gpus_per_node) continue;
    if (kModel.num_heads % tp_p != 0 || kModel.num_heads % tp_d != 0) continue;
    if (kModel.num_layers % (cross * pp_p) != 0 || kModel.num_layers % (cross * pp_d) != 0)
      continue;
    const Placement placement = {cross, {tp_p, pp_p}, Parallelism{tp_d, pp_d}};
    const auto score = RandomScore(placement, seed);
    if (!score.ok()) continue;
    const bool is_better =
        score->per_gpu > best_goodput ||
        (best && score->per_gpu == best_goodput && placement.NumGpus() < best->NumGpus());
    if (score->per_gpu == 0 || !is_better) continue;
    best = placement;
    best_goodput = score->per_gpu;
  } while (advance());
  return best;
}

TEST(GoodputSearchTest, Algorithm2FindsWhatAnExhaustiveSearchDoes) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    for (const ClusterShape& cluster : {ClusterShape{1, 8}, {2, 4}, {4, 2}}) {
      const PlacementRanking ranking =
          Rank(EnumerateLowAffinity(kModel, cluster),
               [seed](const Placement& placement) { return RandomScore(placement, seed); });
      const std::optional<Placement> best = BestOfAllTuples(cluster, seed);
      ASSERT_EQ(ranking.HasWinner(), best.has_value());
      if (best) {
        EXPECT_EQ(ranking.ranked.front().placement, *best) << seed;
      }
    }
  }
}

TEST(GoodputSearchTest, EveryNumberOfThreadsRanksAlike) {
  const std::vector<Placement> candidates = EnumerateLowAffinity(kModel, {4, 8});
  const auto scorer = [](const Placement& placement) { return RandomScore(placement, 3); };
  const PlacementRanking one = Rank(candidates, scorer, 1);
  for (int num_threads : {2, 5}) {
    const PlacementRanking many = Rank(candidates, scorer, num_threads);
    ASSERT_EQ(many.ranked.size(), one.ranked.size());
    for (size_t i = 0; i < one.ranked.size(); ++i) {
      EXPECT_EQ(many.ranked[i].placement, one.ranked[i].placement);
      EXPECT_EQ(many.ranked[i].score.per_gpu, one.ranked[i].score.per_gpu);
    }
    ASSERT_EQ(many.unrunnable.size(), one.unrunnable.size());
    for (size_t i = 0; i < one.unrunnable.size(); ++i) {
      EXPECT_EQ(many.unrunnable[i].placement, one.unrunnable[i].placement);
    }
  }
}

TEST(GoodputSearchTest, WhereNothingServesThereIsNoWinner) {
  const PlacementRanking zero =
      Rank(EnumerateLowAffinity(kModel, {1, 4}), [](const Placement&) { return GoodputScore(); });
  EXPECT_FALSE(zero.HasWinner());
  EXPECT_FALSE(zero.ranked.empty());
  EXPECT_THAT(zero.TiedWithWinner(), IsEmpty());
  const PlacementRanking nothing = Rank(EnumerateLowAffinity(kModel, {1, 4}), [](const Placement&) {
    return absl::StatusOr<GoodputScore>(absl::FailedPreconditionError("no profile"));
  });
  EXPECT_FALSE(nothing.HasWinner());
  EXPECT_EQ(nothing.unrunnable.front().reason, "no profile");
}

TEST(GoodputSearchTest, AnErrorOfTheScorerNamesThePlacement) {
  const auto ranking = RankPlacements(
      {Placement{1, {2, 1}, Parallelism{1, 1}}},
      [](const Placement&) { return absl::StatusOr<GoodputScore>(absl::InternalError("broken")); },
      {});
  EXPECT_EQ(ranking.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(ranking.status().message()), HasSubstr("(1, 2, 1, 1, 1)"));
}

// Ranks colocated placements of `scores`, by their TP.
PlacementRanking RankByTp(const std::map<int, GoodputScore>& scores) {
  std::vector<Placement> candidates;
  candidates.reserve(scores.size());
  for (const auto& [tp, score] : scores) candidates.push_back({1, {tp, 1}, std::nullopt});
  return Rank(candidates, [&](const Placement& placement) {
    return absl::StatusOr<GoodputScore>(scores.at(placement.prefill.tp));
  });
}

TEST(GoodputSearchTest, EqualGoodputGoesToFewerGpus) {
  const PlacementRanking ranking =
      RankByTp({{1, {.per_gpu = 1}}, {2, {.per_gpu = 3}}, {4, {.per_gpu = 3}}});
  EXPECT_EQ(ranking.ranked.front().placement.prefill.tp, 2);
  EXPECT_THAT(ranking.TiedWithWinner(), IsEmpty());
}

TEST(GoodputSearchTest, WhatTheSeedsDoNotTellApartIsATie) {
  // The seeds differ by more than the placements, in the same way for all but the last one.
  const PlacementRanking ranking =
      RankByTp({{1, {.per_gpu = 1.8, .half_width = 0.5, .samples = {1.6, 1.8, 2.0}}},
                {2, {.per_gpu = 1.9, .half_width = 0.5, .samples = {1.7, 1.9, 2.1}}},
                {8, {.per_gpu = 1.7, .half_width = 0.9, .samples = {2.1, 1.6, 1.4}}}});
  EXPECT_EQ(ranking.ranked.front().placement.prefill.tp, 2);
  std::vector<int> tied;
  for (const Placement& placement : ranking.TiedWithWinner()) tied.push_back(placement.prefill.tp);
  EXPECT_THAT(tied, ElementsAre(8));
}

TEST(GoodputSearchTest, BisectionReturnsTheLastPassingMidpoint) {
  std::vector<double> probed;
  const auto probe = [&](double rate) -> absl::StatusOr<bool> {
    probed.push_back(rate);
    return rate < 4.5;
  };
  int64_t num_probes = 0;
  EXPECT_EQ(*BisectRate({.max_rate = 4, .tolerance = 0.5}, 2, probe, num_probes), 2);
  EXPECT_THAT(probed, ElementsAre(4, 6, 5));  // for both GPUs
  EXPECT_EQ(num_probes, 3);
}

TEST(GoodputSearchTest, BisectionOfWhatNeverPassesIsZeroAndEnds) {
  int64_t num_probes = 0;
  const auto probe = [](double) -> absl::StatusOr<bool> { return false; };
  EXPECT_EQ(*BisectRate({.max_rate = 4, .tolerance = 0}, 1, probe, num_probes), 0);
}

}  // namespace
}  // namespace tandem
