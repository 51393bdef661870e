#include "scheduler/planner/cluster_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tandem {
namespace {

using ::testing::HasSubstr;

const std::vector<InstanceRanks>& Shapes() {
  static const auto* const shapes =
      new std::vector<InstanceRanks>{{}, {.tp = 2}, {.tp = 1, .pp = 3}};
  return *shapes;
}

// The same whenever it is asked: unrunnable, nothing, or one of a few rates per device, so that
// there are ties.
absl::StatusOr<double> RandomRate(const ClusterPlacement& placement, uint32_t seed) {
  const std::string name = placement.ToString();
  std::seed_seq sequence(name.begin(), name.end());
  std::mt19937 generator(sequence);
  generator.discard(seed);
  const uint32_t draw = generator() % 40;
  if (draw < 8) return absl::FailedPreconditionError("too small");
  return draw < 12 ? 0.0 : draw / 8 * placement.NumDevices();
}

// As a search from `guess` on would find it.
SeedScore Found(double rate, const RateGuess& guess) {
  if (guess.is_least && rate < guess.rate) return {.failing = guess.rate, .num_simulations = 1};
  return {.rate = rate, .failing = 1.05 * rate, .num_simulations = 1};
}

ClusterRanking Rank(int num_devices, uint32_t seed, int num_threads = 1) {
  auto ranking = RankClusters(EnumerateClusters(Shapes(), num_devices),
                              [seed](const ClusterPlacement& placement, int,
                                     const RateGuess& guess) -> absl::StatusOr<SeedScore> {
                                const auto rate = RandomRate(placement, seed);
                                if (!rate.ok()) return rate.status();
                                return Found(*rate, guess);
                              },
                              {.num_seeds = 2, .threads = {.num_threads = num_threads}});
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  return *std::move(ranking);
}

struct Best {
  double per_device = 0;
  int num_devices = 0;
};

// Every number of instances of every shape in every role that serves and fits, by the definition.
Best BestOfAll(int num_devices, uint32_t seed) {
  Best best;
  const auto try_one = [&](const ClusterPlacement& placement) {
    const int num_taken = placement.NumDevices();
    const bool serves =
        placement.num_mixed > 0 || (placement.num_prefill > 0 && placement.num_decode > 0);
    const bool is_pair = (placement.num_prefill > 0) == (placement.num_decode > 0);
    if (!serves || !is_pair || num_taken > num_devices) return;
    const auto rate = RandomRate(placement, seed);
    if (!rate.ok() || *rate == 0) return;
    const double per_device = *rate / num_taken;
    const bool is_better = per_device > best.per_device ||
                           (per_device == best.per_device && num_taken < best.num_devices);
    if (is_better) best = {per_device, num_taken};
  };
  for (const InstanceRanks& prefill : Shapes()) {
    for (const InstanceRanks& decode : Shapes()) {
      for (const InstanceRanks& mixed : Shapes()) {
        for (int i = 0; i < (num_devices + 1) * (num_devices + 1) * (num_devices + 1); ++i) {
          try_one({.num_prefill = i % (num_devices + 1),
                   .num_decode = i / (num_devices + 1) % (num_devices + 1),
                   .num_mixed = i / (num_devices + 1) / (num_devices + 1),
                   .prefill = prefill,
                   .decode = decode,
                   .mixed = mixed});
        }
      }
    }
  }
  return best;
}

TEST(ClusterSearchTest, FindsWhatAnExhaustiveSearchDoes) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    for (int num_devices : {1, 2, 4, 8}) {
      const ClusterRanking ranking = Rank(num_devices, seed);
      const Best best = BestOfAll(num_devices, seed);
      ASSERT_EQ(ranking.HasWinner(), best.num_devices > 0) << num_devices << " " << seed;
      if (!ranking.HasWinner()) continue;
      EXPECT_EQ(ranking.ranked.front().PerDevice(), best.per_device) << num_devices << " " << seed;
      EXPECT_EQ(ranking.ranked.front().placement.NumDevices(), best.num_devices)
          << num_devices << " " << seed;
    }
  }
}

TEST(ClusterSearchTest, EveryNumberOfThreadsRanksAlike) {
  const ClusterRanking one = Rank(7, 3);
  for (int num_threads : {2, 5}) {
    const ClusterRanking many = Rank(7, 3, num_threads);
    ASSERT_EQ(many.ranked.size(), one.ranked.size());
    for (size_t i = 0; i < one.ranked.size(); ++i) {
      EXPECT_EQ(many.ranked[i].placement, one.ranked[i].placement);
    }
    ASSERT_EQ(many.unrunnable.size(), one.unrunnable.size());
    for (size_t i = 0; i < one.unrunnable.size(); ++i) {
      EXPECT_EQ(many.unrunnable[i].placement, one.unrunnable[i].placement);
    }
  }
}

// `rates` of each candidate by seed.
ClusterRanking RankRates(const std::vector<ClusterPlacement>& candidates,
                         const std::vector<std::vector<double>>& rates,
                         const ClusterSearchOptions& options = {}) {
  auto ranking = RankClusters(
      candidates,
      [&](const ClusterPlacement& placement, int seed,
          const RateGuess& guess) -> absl::StatusOr<SeedScore> {
        const auto found = std::find(candidates.begin(), candidates.end(), placement);
        return Found(rates[found - candidates.begin()][seed], guess);
      },
      options);
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  return *std::move(ranking);
}

TEST(ClusterSearchTest, DevicesStayUnusedOnlyWhereEachThenServesMore) {
  const std::vector<ClusterPlacement> candidates = {{.num_mixed = 1}, {.num_mixed = 2}};
  EXPECT_EQ(RankRates(candidates, {{1.1}, {2.0}}).ranked.front().placement, candidates[0]);
  EXPECT_EQ(RankRates(candidates, {{0.9}, {2.0}}).ranked.front().placement, candidates[1]);
  EXPECT_EQ(RankRates(candidates, {{1.0}, {2.0}}).ranked.front().placement, candidates[0])
      << "a tie goes to fewer devices";
}

TEST(ClusterSearchTest, DifferencesAreThoseOfEachSeedSoLuckThatIsSharedMakesNoTie) {
  const std::vector<ClusterPlacement> candidates = {{.num_mixed = 1},
                                                    {.num_prefill = 1, .num_decode = 1}};
  // The seeds are worth 20%, the placements differ by 5% with each.
  const ClusterRanking clear =
      RankRates(candidates, {{1.0, 1.2, 1.4}, {2.1, 2.5, 2.96}}, {.num_seeds = 3});
  ASSERT_EQ(clear.ranked.size(), 2);
  const RankedCluster &best = clear.ranked[0], &second = clear.ranked[1];
  EXPECT_EQ(best.placement, candidates[1]);
  EXPECT_GT(best.score.rate.half_width / 2, 0.3) << "their intervals overlap by far";
  EXPECT_NEAR(best.DifferenceTo(second).mean, 0.06, 0.001);
  EXPECT_FALSE(second.IsTiedWith(best));
  const ClusterRanking tie =
      RankRates(candidates, {{1.0, 1.2, 1.4}, {2.1, 2.4, 2.76}}, {.num_seeds = 3});
  EXPECT_TRUE(tie.ranked[1].IsTiedWith(tie.ranked[0])) << "one seed each way";
}

TEST(ClusterSearchTest, WhatIsFarBehindTheBestOfItsKindIsNotScoredWithEverySeed) {
  const std::vector<ClusterPlacement> candidates = {
      {.num_mixed = 1}, {.num_mixed = 2}, {.num_prefill = 1, .num_decode = 1}};
  const std::vector<std::vector<double>> rates = {{1, 1}, {1.2, 1.2}, {0.2, 0.2}};
  const ClusterRanking ranking = RankRates(candidates, rates, {.num_seeds = 2});
  ASSERT_EQ(ranking.ranked.size(), 2) << "the best of each kind stays";
  ASSERT_EQ(ranking.outclassed.size(), 1);
  EXPECT_EQ(ranking.outclassed[0].placement, candidates[1]);
  EXPECT_DOUBLE_EQ(ranking.outclassed[0].per_device_below, 0.6 * 1.05);
  EXPECT_EQ(ranking.num_simulations, 5);
  EXPECT_EQ(RankRates(candidates, rates, {.num_seeds = 2, .keep = 0}).ranked.size(), 3);
}

TEST(ClusterSearchTest, LaterRoundsAskFirstForWhatKeepsThemInTheSearch) {
  std::vector<ClusterPlacement> candidates;
  std::vector<std::vector<double>> rates;
  for (int count = 1; count <= 40; ++count) {
    candidates.push_back({.num_mixed = count});
    rates.push_back({count <= 20 ? 2.0 * count : 1.0 * count});
  }
  const ClusterRanking ranking = RankRates(candidates, rates);
  EXPECT_EQ(ranking.ranked.size(), 20);
  ASSERT_EQ(ranking.outclassed.size(), 20);
  EXPECT_DOUBLE_EQ(ranking.outclassed[15].per_device_below, 0.85 * 2);
}

TEST(ClusterSearchTest, WhatIsKnownOfASimilarSituationIsWhereTheSearchBegins) {
  const std::vector<ClusterPlacement> candidates = {
      {.num_mixed = 1}, {.num_mixed = 2}, {.num_prefill = 1, .num_decode = 1}};
  ClusterSearchOptions options = {.num_seeds = 2};
  options.near = {{candidates[1], {.samples = {4, 5}, .falls = {2, 3}}},
                  {candidates[2], {.samples = {0}, .falls = {0}}}};
  std::vector<std::pair<std::string, RateGuess>> asked;
  const auto scorer = [&](const ClusterPlacement& placement, int,
                          const RateGuess& guess) -> absl::StatusOr<SeedScore> {
    asked.emplace_back(placement.ToString(), guess);
    return Found(placement.num_mixed == 1 ? 0.5 : 6, guess);
  };
  ASSERT_TRUE(RankClusters(candidates, scorer, options).ok());
  ASSERT_EQ(asked.size(), 5);
  EXPECT_EQ(asked[0].first, "2 mixed") << "first, to tell what others have to serve";
  EXPECT_EQ(asked[0].second.rate, 4);
  EXPECT_EQ(asked[0].second.fall, 2);
  EXPECT_EQ(asked[1].first, "1 mixed");
  EXPECT_TRUE(asked[1].second.is_least);
  EXPECT_DOUBLE_EQ(asked[1].second.rate, 0.85 * 6 / 2);
  EXPECT_EQ(asked[2].second.fall, 0) << "it served nothing there";
  EXPECT_EQ(asked[3].first, "2 mixed");
  EXPECT_DOUBLE_EQ(asked[3].second.rate, 6.0 * 5 / 4) << "as the seeds differ there";
  EXPECT_EQ(asked[3].second.fall, 3);
}

TEST(ClusterSearchTest, WhatServesLessThanTheLeastIsOutclassed) {
  const std::vector<ClusterPlacement> candidates = {{.num_mixed = 1}, {.num_mixed = 2}};
  const ClusterRanking ranking = RankRates(candidates, {{1.5}, {1.6}}, {.least = 1});
  ASSERT_EQ(ranking.ranked.size(), 1);
  EXPECT_EQ(ranking.ranked[0].placement, candidates[0]);
  EXPECT_DOUBLE_EQ(ranking.outclassed.at(0).per_device_below, 1);
}

TEST(ClusterSearchTest, KnowsTheBestApartAndTheBestTogether) {
  const std::vector<ClusterPlacement> candidates = {
      {.num_mixed = 1}, {.num_mixed = 2}, {.num_prefill = 1, .num_decode = 1}};
  const ClusterRanking ranking = RankRates(candidates, {{1}, {3}, {2}});
  EXPECT_EQ(ranking.Best(false)->placement, candidates[1]);
  EXPECT_EQ(ranking.Best(true)->placement, candidates[2]);
  EXPECT_EQ(RankRates({candidates[0]}, {{1}}).Best(true), nullptr);
}

TEST(ClusterSearchTest, WhereNothingServesThereIsNoWinner) {
  EXPECT_FALSE(RankRates({{.num_mixed = 1}}, {{0}}).HasWinner());
  EXPECT_FALSE(ClusterRanking().HasWinner());
}

TEST(ClusterSearchTest, AnErrorOfTheScorerNamesThePlacement) {
  const std::vector<ClusterPlacement> candidates = {{.num_mixed = 2}};
  const auto ranking =
      RankClusters(candidates,
                   [](const ClusterPlacement&, int, const RateGuess&) {
                     return absl::StatusOr<SeedScore>(absl::InternalError("broken"));
                   },
                   {});
  EXPECT_EQ(ranking.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(ranking.status().message()), HasSubstr("2 mixed"));
}

}  // namespace
}  // namespace tandem
