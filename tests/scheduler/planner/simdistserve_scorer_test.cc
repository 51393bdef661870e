// The search with DistServe's simulator as the scorer finds what DistServe's search found.
#include "scheduler/planner/simdistserve_scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "scheduler/planner/independent_search.h"
#include "tests/scheduler/sim/compat/distserve_golden.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

struct Search {
  std::string model = kOpt13B;
  std::string backend = "distserve";
  ClusterShape cluster = {1, 4};
  CompatSlo slo;
  RateBounds rate_bounds;
  int num_requests = 300;
  uint32_t seed = 0;
};

SimDistServeScorer MakeScorer(const Search& search) {
  std::vector<CompatRun> runs(1);
  runs[0].lengths = ShareGptLengths(search.num_requests);
  runs[0].gaps = PoissonGaps(search.num_requests, search.seed);
  return {GoldenProfile(search.backend),
          {.model = search.model, .slo = search.slo, .rate_bounds = search.rate_bounds},
          std::move(runs)};
}

PlacementRanking Rank(const Search& search, int num_threads = 1) {
  const SimDistServeScorer scorer = MakeScorer(search);
  const ModelDivisors model = *FindOptModel(search.model);
  const int num_gpus = search.cluster.NumGpus();
  auto ranking =
      RankPlacements(search.backend == "vllm" ? EnumerateInstances(model, num_gpus, num_gpus)
                                              : EnumerateLowAffinity(model, search.cluster),
                     [&](const Placement& placement) { return scorer.Score(placement); },
                     {.num_threads = num_threads});
  EXPECT_TRUE(ranking.ok()) << ranking.status();
  return *std::move(ranking);
}

// One block of searches.txt.
struct GoldenSearch {
  std::string header;
  std::map<std::string, double> goodput;
  std::string unrunnable;  // as printed
};

std::vector<GoldenSearch> ReadSearches() {
  std::vector<GoldenSearch> searches;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(ReadGolden("searches.txt"), '\n'))) {
    if (absl::StartsWith(line, "## ")) searches.push_back({.header = line});
    if (absl::StartsWith(line, "    unrunnable: ")) searches.back().unrunnable = line;
    if (!absl::StartsWith(line, "    (")) continue;
    const size_t end = line.find(')') + 1;
    searches.back().goodput[line.substr(4, end - 4)] = std::stod(line.substr(end));
  }
  EXPECT_EQ(searches.size(), 7);
  return searches;
}

// Every placement of `search` has the goodput of the block at `index`; the others are those it
// lists.
void ExpectGolden(const Search& search, size_t index, const std::string& winner) {
  const GoldenSearch golden = ReadSearches()[index];
  SCOPED_TRACE(golden.header);
  const PlacementRanking ranking = Rank(search);
  EXPECT_EQ(ranking.ranked.front().placement.ToString(), winner);
  EXPECT_THAT(golden.header, HasSubstr("best=" + winner));
  EXPECT_EQ(ranking.ranked.size(), golden.goodput.size());
  for (const RankedPlacement& entry : ranking.ranked) {
    const auto expected = golden.goodput.find(entry.placement.ToString());
    ASSERT_NE(expected, golden.goodput.end()) << entry.placement.ToString();
    EXPECT_EQ(entry.score.per_gpu, expected->second) << entry.placement.ToString();
  }
  std::vector<std::string> unrunnable;
  for (const UnrunnablePlacement& entry : ranking.unrunnable) {
    unrunnable.push_back(entry.placement.ToString());
  }
  EXPECT_EQ(golden.unrunnable, "    unrunnable: [" + absl::StrJoin(unrunnable, ", ") + "]");
}

TEST(SimDistServeScorerTest, TheExampleOfItsReadmeHasItsGoodputs) {
  ExpectGolden({.slo = {.ttft_ms = 200, .tpot_ms = 100}}, 0, "(1, 2, 1, 1, 1)");
}

TEST(SimDistServeScorerTest, ColocatedPlacementsHaveItsGoodputs) {
  ExpectGolden({.backend = "vllm", .slo = {.ttft_ms = 200, .tpot_ms = 100}}, 1, "(4, 1)");
}

TEST(SimDistServeScorerTest, TheTargetsOfThePaperHaveItsGoodputs) {
  ExpectGolden({.slo = {.ttft_ms = 250, .tpot_ms = 100}}, 2, "(1, 2, 1, 1, 1)");
}

TEST(SimDistServeScorerTest, AThousandRequestsHaveItsGoodputs) {
  const PlacementRanking ranking = Rank({.slo = {.ttft_ms = 200, .tpot_ms = 100},
                                         .rate_bounds = {.max_rate = 5, .tolerance = 0.05},
                                         .num_requests = 1000});
  const std::vector<std::pair<std::string, double>> expected = {{"(1, 2, 1, 1, 1)", 1.796875},
                                                                {"(1, 2, 1, 1, 2)", 1.4453125},
                                                                {"(1, 2, 1, 2, 1)", 1.4453125},
                                                                {"(1, 1, 1, 1, 1)", .3125},
                                                                {"(1, 1, 2, 1, 1)", .2734375}};
  ASSERT_EQ(ranking.ranked.size(), 9);
  for (size_t i = 0; i < 9; ++i) {
    const RankedPlacement& entry = ranking.ranked[i];
    if (i < expected.size()) {
      EXPECT_EQ(entry.placement.ToString(), expected[i].first);
    }
    EXPECT_EQ(entry.score.per_gpu, i < expected.size() ? expected[i].second : .1953125);
  }
}

TEST(SimDistServeScorerTest, ALargerModelOnFourNodesHasItsGoodputs) {
  ExpectGolden({.model = kOpt66B,
                .cluster = {4, 8},
                .slo = {.ttft_ms = 400, .tpot_ms = 100},
                .rate_bounds = {.max_rate = 2, .tolerance = 0.05}},
               4, "(1, 4, 1, 2, 1)");
}

TEST(SimDistServeScorerTest, ALargerModelColocatedHasItsGoodputs) {
  ExpectGolden({.model = kOpt66B,
                .backend = "vllm",
                .cluster = {4, 8},
                .slo = {.ttft_ms = 400, .tpot_ms = 100},
                .rate_bounds = {.max_rate = 2, .tolerance = 0.05}},
               5, "(8, 1)");
}

TEST(SimDistServeScorerTest, LooserTargetsHaveItsGoodputs) {
  ExpectGolden({.model = kOpt66B,
                .cluster = {4, 8},
                .slo = {.ttft_ms = 2500, .tpot_ms = 150},
                .rate_bounds = {.max_rate = 2, .tolerance = 0.05}},
               6, "(2, 3, 2, 2, 1)");
}

// DistServe, OSDI'24, section 6: OPT-13B on ShareGPT serves 2.30 requests/s per GPU.
TEST(SimDistServeScorerTest, OverTenSeedsTheGoodputIsThatOfThePaper) {
  const std::vector<double> expected = {2.38, 2.58, 2.03, 2.11, 2.27, 2.34, 2.77, 2.70, 2.50, 2.46};
  double sum = 0;
  int num_chosen = 0;
  for (uint32_t seed = 0; seed < 10; ++seed) {
    Search search = {.slo = {.ttft_ms = 250, .tpot_ms = 100}, .seed = seed};
    num_chosen += Rank(search).ranked.front().placement.ToString() == "(1, 2, 1, 1, 1)";
    search.rate_bounds.tolerance = 0.05;
    const auto score = MakeScorer(search).Score({1, {2, 1}, Parallelism{1, 1}});
    ASSERT_TRUE(score.ok()) << score.status();
    EXPECT_NEAR(score->per_gpu, expected[seed], 0.005) << seed;
    sum += score->per_gpu;
  }
  EXPECT_NEAR(sum / 10, 2.30, 0.15 * 2.30);
  EXPECT_EQ(num_chosen, 10);
}

TEST(SimDistServeScorerTest, TheGoodputFallsAsTheRunGrows) {
  const std::vector<std::pair<int, double>> expected = {{100, 2.188}, {200, 2.607},  {300, 2.412},
                                                        {600, 1.934}, {1000, 1.797}, {1600, 1.729}};
  for (const auto& [num_requests, goodput] : expected) {
    const auto score = MakeScorer({.slo = {.ttft_ms = 250, .tpot_ms = 100},
                                   .rate_bounds = {.max_rate = 5, .tolerance = 0.01},
                                   .num_requests = num_requests})
                           .Score({1, {2, 1}, Parallelism{1, 1}});
    ASSERT_TRUE(score.ok()) << score.status();
    EXPECT_NEAR(score->per_gpu, goodput, 0.00051) << num_requests;  // printed with three decimals
  }
}

TEST(SimDistServeScorerTest, TheSearchIsTheSameOnEveryNumberOfThreads) {
  const Search search = {.slo = {.ttft_ms = 250, .tpot_ms = 100}};
  const PlacementRanking one = Rank(search, 1), three = Rank(search, 3);
  ASSERT_EQ(one.ranked.size(), three.ranked.size());
  for (size_t i = 0; i < one.ranked.size(); ++i) {
    EXPECT_EQ(one.ranked[i].placement, three.ranked[i].placement);
    EXPECT_EQ(one.ranked[i].score.per_gpu, three.ranked[i].score.per_gpu);
  }
}

TEST(SimDistServeScorerTest, TargetsThatNothingMeetsHaveNoWinner) {
  const PlacementRanking ranking = Rank({.slo = {.ttft_ms = 1, .tpot_ms = 1}});
  EXPECT_EQ(ranking.ranked.size(), 9);
  EXPECT_FALSE(ranking.HasWinner());
}

TEST(SimDistServeScorerTest, WhereAPromptDoesNotFitThePlacementCannotRun) {
  std::vector<CompatRun> runs(1);
  runs[0] = {.lengths = {{11601, 1}}, .gaps = {0.0}};
  const SimDistServeScorer scorer(GoldenProfile("distserve"), {.model = kOpt66B}, std::move(runs));
  const auto score = scorer.Score({1, {2, 1}, Parallelism{2, 1}});
  EXPECT_EQ(score.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(score.status().message()), HasSubstr("11601"));
}

TEST(SimDistServeScorerTest, APhaseAloneServesAtLeastAsMuchAsWithTheOther) {
  const SimDistServeScorer scorer =
      MakeScorer({.slo = {.ttft_ms = 250, .tpot_ms = 100}, .rate_bounds = {.max_rate = 16}});
  const auto both = scorer.Score({1, {2, 1}, Parallelism{1, 1}});
  const auto prefill = scorer.ScorePrefill({1, {2, 1}, std::nullopt});
  const auto decode = scorer.ScoreDecode({1, {1, 1}, std::nullopt});
  ASSERT_TRUE(both.ok() && prefill.ok() && decode.ok());
  const double rate = both->per_gpu * 3;
  EXPECT_GE(prefill->per_gpu * 2 + 2 * 0.25, rate);  // within the searches' tolerances
  EXPECT_GE(decode->per_gpu * 1 + 1 * 0.25 + 3 * 0.25, rate);
}

TEST(SimDistServeScorerTest, ASteadyStateHasAnIntervalOverSeeds) {
  const auto runs = MakeSteadyStateRuns(
      ShareGptLengths(), {.num_seeds = 3, .num_requests = 1500, .num_warmup = 500}, 0);
  ASSERT_EQ(runs.size(), 3);
  const SimDistServeScorer scorer(GoldenProfile("distserve"),
                                  {.model = kOpt13B,
                                   .slo = {.ttft_ms = 250, .tpot_ms = 100},
                                   .rate_bounds = {.max_rate = 4, .tolerance = 0.05}},
                                  runs);
  const auto score = scorer.Score({1, {2, 1}, Parallelism{1, 1}});
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->samples.size(), 3);
  EXPECT_GT(score->half_width, 0);
  EXPECT_NEAR(score->per_gpu, 1.53, 0.15);  // of 20,000 requests: 1.536
}

}  // namespace
}  // namespace tandem
