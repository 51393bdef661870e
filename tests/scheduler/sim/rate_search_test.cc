#include "scheduler/sim/rate_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "scheduler/sim/random.h"

namespace tandem {
namespace {

// Searches a server whose attainment at a rate is `attainment(rate)`; returns the number of runs.
template <typename Attainment>
int Search(RateSearch& search, int requests_per_run, Attainment attainment) {
  Random random(1);
  int runs = 0;
  for (; !search.IsDone() && runs < 1000; ++runs) {
    int good = 0;
    const double share = attainment(search.rate());
    for (int i = 0; i < requests_per_run; ++i) good += random.Uniform() < share;
    search.Add(good, requests_per_run);
  }
  return runs;
}

TEST(RateSearchTest, BracketsACliff) {
  for (double cliff : {0.07, 1.0, 3.3, 700.0}) {
    RateSearch search({});
    Search(search, 100, [&](double rate) { return rate <= cliff ? 1.0 : 0.2; });
    EXPECT_LE(search.holding(), cliff);
    EXPECT_GT(search.failing(), cliff);
    EXPECT_LE(search.failing(), search.holding() * 1.05);
    EXPECT_TRUE(search.is_certain());
  }
}

TEST(RateSearchTest, SmallFirstStepsGrowAndSaveRunsWhereTheGuessIsGood) {
  std::vector<double> rates;
  RateSearch search({.first_rate = 1, .first_step = 1.05, .max_requests = 1});
  for (; !search.IsDone(); search.Add(search.rate() <= 1.2 ? 100 : 0, 100)) {
    rates.push_back(search.rate());
  }
  ASSERT_GE(rates.size(), 4);
  EXPECT_DOUBLE_EQ(rates[1], 1.05);
  EXPECT_DOUBLE_EQ(rates[2], 1.05 * 1.1025);
  EXPECT_NEAR(search.holding(), 1.2, 0.06);
  EXPECT_LE(search.failing(), search.holding() * 1.05);
  EXPECT_LE(rates.size(), 6);
}

TEST(RateSearchTest, FindsWhereASlopeCrossesTheTarget) {
  RateSearch search({.target = 0.9, .max_requests = 4000});
  Search(search, 200, [](double rate) { return 1 / (1 + std::pow(rate / 8, 4)); });
  // 8 / 9^(1/4) = 4.62.
  EXPECT_NEAR(search.holding(), 4.62, 0.4);
}

TEST(RateSearchTest, MeasuresARateAgainUntilItsIntervalDecides) {
  RateSearch search({.target = 0.9, .first_rate = 4});
  search.Add(18, 20);
  EXPECT_EQ(search.rate(), 4);
  search.Add(180, 180);
  EXPECT_EQ(search.rate(), 8);
  EXPECT_EQ(search.holding(), 4);
}

TEST(RateSearchTest, TheShareDecidesAtTheLimitOfRequests) {
  RateSearch search({.target = 0.9, .first_rate = 4, .max_requests = 100});
  search.Add(91, 100);
  EXPECT_EQ(search.holding(), 4);
  EXPECT_FALSE(search.is_certain());
}

TEST(RateSearchTest, EndsWhereNothingHoldsAndWhereEverythingDoes) {
  RateSearch none({.min_rate = 0.1}), all({.max_rate = 100});
  EXPECT_LT(Search(none, 100, [](double) { return 0.0; }), 10);
  EXPECT_EQ(none.holding(), 0);
  EXPECT_LT(Search(all, 100, [](double) { return 1.0; }), 10);
  EXPECT_EQ(all.holding(), 100);
  EXPECT_TRUE(std::isinf(all.failing()));
}

TEST(RateSearchTest, OneMissMoreThanTheMostDecides) {
  for (int num_requests : {1, 30, 200}) {
    RateSearch search({.target = 0.9, .first_rate = 4});
    search.Add(19, 20);
    const int most = search.MaxMisses(num_requests);
    RateSearch other = search;
    if (most < num_requests) {
      other.Add(num_requests - most - 1, num_requests);
      EXPECT_EQ(other.failing(), 4) << num_requests;
    }
    search.Add(num_requests - most, num_requests);
    EXPECT_TRUE(std::isinf(search.failing())) << num_requests;
  }
}

TEST(RateSearchTest, RunsWithoutRequestsEndTheSearch) {
  RateSearch search({});
  for (int i = 0; i < 100 && !search.IsDone(); ++i) search.Add(0, 0);
  EXPECT_TRUE(search.IsDone());
}

}  // namespace
}  // namespace tandem
