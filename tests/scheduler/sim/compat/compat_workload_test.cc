#include "scheduler/sim/compat/compat_workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace tandem {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(CompatWorkloadTest, LengthsAreReadByLine) {
  const auto lengths = ParseLengths("55 4\n829\t170\n\n697, 0");
  ASSERT_TRUE(lengths.ok()) << lengths.status();
  ASSERT_EQ(lengths->size(), 3);
  EXPECT_EQ((*lengths)[1].prompt_len, 829);
  EXPECT_EQ((*lengths)[1].output_len, 170);
  EXPECT_EQ((*lengths)[2].output_len, 0);
}

TEST(CompatWorkloadTest, AMalformedLineOfLengthsIsNamed) {
  for (const char* line : {"3", "3 4 5", "x 4", "0 4", "3 -1", "99999999999 1", "3.5 1"}) {
    const auto lengths = ParseLengths(std::string("1 1\n") + line);
    EXPECT_THAT(MessageOf(lengths.status()), HasSubstr("line 2")) << line;
  }
  EXPECT_THAT(MessageOf(ParseLengths("\n\n").status()), HasSubstr("no lengths"));
}

TEST(CompatWorkloadTest, SyntheticLengthsFollowTheFormula) {
  const std::vector<RequestLengths> lengths = ParseSyntheticLengths("16,1500,1,300")->Make(3);
  EXPECT_EQ(lengths[0].prompt_len, 16);
  EXPECT_EQ(lengths[0].output_len, 1);
  EXPECT_EQ(lengths[2].prompt_len, 16 + 2 * 7919 % 1500);
  EXPECT_EQ(lengths[2].output_len, 1 + 2 * 104729 % 300);
  for (const char* text : {"", "1,2,3", "16,0,1,300", "0,1,1,1", "1,1,-1,1", "a,1,1,1"}) {
    EXPECT_FALSE(ParseSyntheticLengths(text).ok()) << text;
  }
}

TEST(CompatWorkloadTest, PoissonArrivalsHaveTheirMeanAndSpread) {
  constexpr int kNumRequests = 100'000;
  const std::vector<double> gaps = PoissonGaps(kNumRequests, 3);
  EXPECT_EQ(gaps[0], 0);
  const double mean = std::accumulate(gaps.begin(), gaps.end(), 0.0) / kNumRequests;
  double squares = 0;
  for (double gap : gaps) squares += gap * gap;
  EXPECT_NEAR(mean, 1, 0.01);
  EXPECT_NEAR(squares / kNumRequests, 2, 0.05);  // of an exponential distribution
}

TEST(CompatWorkloadTest, GapsScaleWithTheRate) {
  const std::vector<RequestLengths> lengths(3, {10, 1});
  const std::vector<CompatRequest> requests = MakeRequests(lengths, FixedGaps(3), 4);
  EXPECT_EQ(requests[0].arrival_ms, 0);
  EXPECT_EQ(requests[2].arrival_ms, 500);
  for (const CompatRequest& request : MakeRequests(lengths, PoissonGaps(3, 0), HUGE_VAL)) {
    EXPECT_EQ(request.arrival_ms, 0);
  }
}

TEST(CompatWorkloadTest, ResamplingDrawsFromThePoolBySeed) {
  const std::vector<RequestLengths> pool = {{1, 1}, {2, 2}, {3, 3}};
  std::mt19937 generator(1000 + 7);
  for (const RequestLengths& lengths : ResampleLengths(pool, 20, 7)) {
    EXPECT_EQ(lengths.prompt_len, pool[generator() % 3].prompt_len);
  }
}

TEST(CompatWorkloadTest, ATraceBeginsAtZeroAndIsSorted) {
  const auto trace = ParseCustomTrace(
      R"([{"start_time": 7.5, "prompt_len": 20, "output_len": 2},
          {"start_time": 7.0, "prompt_len": 10, "output_len": 0}])");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ((*trace)[0].arrival_ms, 0);
  EXPECT_EQ((*trace)[0].prompt_len, 10);
  EXPECT_EQ((*trace)[1].arrival_ms, 500);
}

TEST(CompatWorkloadTest, AMalformedTraceIsNamed) {
  for (const char* text : {"", "{}", "[]", "[1", "null"}) {
    EXPECT_THAT(MessageOf(ParseCustomTrace(text).status()), HasSubstr("JSON list")) << text;
  }
  for (const char* entry : {"1", "{}", R"({"start_time": 0, "prompt_len": 0, "output_len": 1})",
                            R"({"start_time": "0", "prompt_len": 1, "output_len": 1})",
                            R"({"start_time": 0, "prompt_len": 1e300, "output_len": 1})",
                            R"({"start_time": 0, "prompt_len": 1, "output_len": -1})"}) {
    const std::string text =
        std::string(R"([{"start_time": 0, "prompt_len": 1, "output_len": 1}, )") + entry + "]";
    EXPECT_THAT(MessageOf(ParseCustomTrace(text).status()), HasSubstr("entry 1")) << entry;
  }
}

}  // namespace
}  // namespace tandem
