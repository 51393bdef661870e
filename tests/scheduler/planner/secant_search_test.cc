#include "scheduler/planner/secant_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

struct Outcome {
  double rate = 0;
  int num_runs = 0;
};

// `share(rate)` is cut below `least`, where it looks a little better than it is.
template <typename Share>
Outcome Search(const SecantSearch::Options& options, const Share& share, double least = 0) {
  SecantSearch search(options);
  Outcome outcome;
  while (!search.IsDone() && outcome.num_runs < 20) {
    const double value = share(search.rate());
    search.Add(value < least ? value + 0.1 : value, value < least);
    ++outcome.num_runs;
  }
  outcome.rate = search.rate();
  return outcome;
}

// All is good up to a knee, then it falls: 0.9 is passed at e^0.05 times that.
double Knee(double rate) { return std::min(1.0, 1 - 2 * std::log(rate / 4)); }
const double kKneeRate = 4 * std::exp(0.05);

TEST(SecantSearchTest, OneRunIsEnoughWhereTheGuessIsRight) {
  const Outcome outcome = Search({.rate = 1.001 * kKneeRate, .fall = 3}, Knee);
  EXPECT_EQ(outcome.num_runs, 1);
  EXPECT_NEAR(outcome.rate / kKneeRate, 1, 0.001);
}

TEST(SecantSearchTest, AFewRunsAreEnoughWhereItIsNot) {
  for (const double factor : {0.7, 0.9, 1.1, 1.4}) {
    for (const double fall : {0.5, 2.0, 8.0}) {
      const Outcome outcome = Search({.rate = factor * kKneeRate, .fall = fall, .tolerance = 0.03},
                                     Knee, /*least=*/0.7);
      EXPECT_NEAR(outcome.rate / kKneeRate, 1, 0.03) << factor << " " << fall;
      EXPECT_LE(outcome.num_runs, 7) << factor << " " << fall;
    }
  }
}

TEST(SecantSearchTest, StepsGrowWhereEveryRequestIsGood) {
  SecantSearch search({.rate = 1, .fall = 2});
  double last = 1, ratio = 1;
  for (int i = 0; i < 4; ++i) {
    search.Add(1, false);
    EXPECT_GT(search.rate() / last, ratio);
    ratio = search.rate() / last;
    last = search.rate();
  }
  EXPECT_FALSE(search.IsDone());
}

TEST(SecantSearchTest, ARunThatWasCutIsNeverTheLast) {
  SecantSearch search({.rate = 1, .fall = 100});
  search.Add(0.89, /*was_cut=*/true);
  EXPECT_FALSE(search.IsDone());
  EXPECT_LT(search.rate(), 1);
}

}  // namespace
}  // namespace tandem
