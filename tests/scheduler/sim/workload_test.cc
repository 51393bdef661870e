#include "scheduler/sim/workload.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "scheduler/sim/samples.h"

namespace tandem {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Workload Draw(int num_requests, uint64_t seed = 1) {
  return DrawWorkload({.num_requests = num_requests,
                       .prompt = LengthDistribution::Parse("100..200").value(),
                       .output = LengthDistribution::Parse("exponential:50").value()},
                      seed);
}

Samples GapsInMs(const Workload& workload) {
  std::vector<double> gaps;
  absl::Duration last = absl::ZeroDuration();
  for (const TimedRequest& request : workload.requests) {
    gaps.push_back(absl::ToDoubleMilliseconds(request.arrival - last));
    last = request.arrival;
  }
  return Samples(gaps);
}

TEST(WorkloadTest, PoissonArrivalsHaveExponentialGaps) {
  Workload workload = Draw(50000);
  SetArrivals(workload, {.rate = 100}, 7);
  const Samples gaps = GapsInMs(workload);
  EXPECT_NEAR(gaps.Mean(), 10, 0.2);
  EXPECT_NEAR(gaps.Deviation(), 10, 0.3);
  EXPECT_NEAR(gaps.ShareWithin(10), 1 - 1 / 2.718281828, 0.01);
  EXPECT_NEAR(workload.Rate(), 100, 2);
}

TEST(WorkloadTest, BurstinessIsTheShapeOfTheGaps) {
  for (double burstiness : {0.25, 4.0}) {
    Workload workload = Draw(50000);
    SetArrivals(workload, {.rate = 100, .burstiness = burstiness}, 7);
    const Samples gaps = GapsInMs(workload);
    EXPECT_NEAR(gaps.Mean(), 10, 0.4) << burstiness;
    EXPECT_NEAR(gaps.Deviation() / gaps.Mean(), 1 / std::sqrt(burstiness), 0.05) << burstiness;
  }
}

TEST(WorkloadTest, InfiniteBurstinessIsAConstantRate) {
  Workload workload = Draw(100);
  SetArrivals(workload, {.rate = 8, .burstiness = kInfinity}, 7);
  EXPECT_EQ(workload.requests[0].arrival, absl::Milliseconds(125));
  EXPECT_EQ(workload.requests[99].arrival, absl::Milliseconds(12500));
}

TEST(WorkloadTest, AnInfiniteRateSendsAllAtOnce) {
  Workload workload = Draw(100);
  SetArrivals(workload, {}, 7);
  EXPECT_EQ(workload.Length(), absl::ZeroDuration());
  EXPECT_EQ(workload.Rate(), kInfinity);
}

TEST(WorkloadTest, RatesOfOneSeedDifferByTheirScaleAlone) {
  Workload slow = Draw(50), fast = Draw(50);
  SetArrivals(slow, {.rate = 1}, 7);
  SetArrivals(fast, {.rate = 4}, 7);
  for (int i = 0; i < 50; ++i) {
    EXPECT_NEAR(absl::ToDoubleSeconds(slow.requests[i].arrival),
                4 * absl::ToDoubleSeconds(fast.requests[i].arrival), 1e-6);
    EXPECT_EQ(slow.requests[i].prompt_tokens, fast.requests[i].prompt_tokens);
  }
}

TEST(WorkloadTest, TheSeedDecidesLengthsAndArrivals) {
  EXPECT_EQ(Draw(50, 1).requests[49].prompt_tokens, Draw(50, 1).requests[49].prompt_tokens);
  int differing = 0;
  const Workload one = Draw(50, 1), other = Draw(50, 2);
  for (int i = 0; i < 50; ++i) {
    differing += one.requests[i].prompt_tokens != other.requests[i].prompt_tokens;
  }
  EXPECT_GT(differing, 40);
}

TEST(WorkloadTest, MoreRequestsBeginWithThoseOfFewer) {
  const Workload few = Draw(10), many = Draw(20);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(few.requests[i].output_tokens, many.requests[i].output_tokens);
  }
}

TEST(WorkloadTest, ScalingReplaysATraceAtAnotherRate) {
  Workload workload = Draw(100);
  SetArrivals(workload, {.rate = 3}, 7);
  ScaleArrivals(workload, 12);
  EXPECT_NEAR(workload.Rate(), 12, 1e-6);
}

TEST(WorkloadTest, ResizingRepeatsATraceWithContentOfItsOwn) {
  Workload workload;
  workload.requests = {{.arrival = absl::ZeroDuration(), .block_ids = {1, 2}},
                       {.arrival = absl::Seconds(2), .block_ids = {1, 3}}};
  Resize(workload, 5);
  ASSERT_EQ(workload.requests.size(), 5u);
  EXPECT_EQ(workload.requests[2].arrival, absl::Seconds(3));
  EXPECT_EQ(workload.requests[4].arrival, absl::Seconds(6));
  EXPECT_NE(workload.requests[2].block_ids[0], 1u);
  EXPECT_EQ(workload.requests[2].block_ids[0], workload.requests[3].block_ids[0]);
  Resize(workload, 1);
  EXPECT_EQ(workload.requests.size(), 1u);
}

}  // namespace
}  // namespace tandem
