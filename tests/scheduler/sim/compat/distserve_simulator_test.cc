#include "scheduler/sim/compat/distserve_simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/sim/compat/distserve_golden.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr double kExact = 1e-6;  // ms

// The three requests of the hand-checked timelines.
const std::vector<CompatRequest>& ThreeRequests() {
  static const auto* const kRequests =
      new std::vector<CompatRequest>{{0, 512, 3}, {10, 100, 2}, {20, 200, 1}};
  return *kRequests;
}

PhaseModel Model(const std::string& model, int tp, int pp) {
  return GoldenModel(GoldenProfile("distserve"), model, tp, pp);
}

DistServeSetup MakeSetup(int tp, int pp) {
  DistServeSetup setup;
  setup.prefill = setup.decode = Model(kOpt13B, tp, pp);
  return setup;
}

std::vector<CompatTimes> Simulate(const DistServeSetup& setup,
                                  const std::vector<CompatRequest>& requests) {
  const auto times = SimulateDistServe(setup, requests);
  EXPECT_TRUE(times.ok()) << times.status();
  return *times;
}

void ExpectTimeline(const DistServeSetup& setup, const std::vector<double>& ttft,
                    const std::vector<double>& exit) {
  const std::vector<CompatTimes> times = Simulate(setup, ThreeRequests());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_NEAR(times[i].first_token_ms - ThreeRequests()[i].arrival_ms, ttft[i], kExact) << i;
    EXPECT_NEAR(times[i].exit_ms, exit[i], kExact) << i;
  }
}

TEST(DistServeSimulatorTest, APrefillStageTakesItsFittedTime) {
  EXPECT_NEAR(PrefillStageMs(Model(kOpt13B, 1, 1), 512, 512 * 512, true), 75.199881, kExact);
  EXPECT_NEAR(PrefillStageMs(Model(kOpt13B, 2, 1), 1536, 512 * 512 + 1024 * 1024, true), 126.441868,
              kExact);
  EXPECT_NEAR(PrefillStageMs(Model(kOpt66B, 4, 2), 2000, 2000 * 2000, true), 186.907900, kExact);
  EXPECT_NEAR(PrefillStageMs(Model(kOpt66B, 4, 2), 2000, 2000 * 2000, false), 184.707900, kExact);
  const PhaseModel vllm = GoldenModel(GoldenProfile("vllm"), kOpt13B, 1, 1);
  EXPECT_NEAR(PrefillStageMs(vllm, 512, 512 * 512, true), 99.161363, kExact);
}

TEST(DistServeSimulatorTest, ADecodeStageTakesItsFittedTime) {
  EXPECT_NEAR(DecodeStageMs(Model(kOpt13B, 1, 1), 32 * 512, 32, true), 35.097102, kExact);
  EXPECT_NEAR(DecodeStageMs(Model(kOpt66B, 2, 2), 64 * 800, 64, true), 59.502092, kExact);
}

TEST(DistServeSimulatorTest, LargeBatchesHaveAFitOfTheirOwn) {
  const PhaseModel model = Model(kOpt13B, 1, 1);
  EXPECT_NEAR(DecodeStageMs(model, 94 * 300, 94, true), 46.112876, kExact);
  EXPECT_NEAR(DecodeStageMs(model, 95 * 300, 95, true), 43.635112, kExact);
}

TEST(DistServeSimulatorTest, RequestsPassPrefillAndDecode) {
  ExpectTimeline(MakeSetup(1, 1), {75.199881, 117.262218, 107.262218},
                 {142.240145, 186.518453, 164.471196});
}

TEST(DistServeSimulatorTest, StagesWorkAtTheSameTime) {
  ExpectTimeline(MakeSetup(1, 2), {78.199881, 94.716049, 84.716049},
                 {147.222943, 159.122159, 134.975987});
}

TEST(DistServeSimulatorTest, AColocatedInstancePrefillsFirst) {
  DistServeSetup setup;
  setup.is_colocated = true;
  setup.prefill = GoldenModel(GoldenProfile("vllm"), kOpt13B, 1, 1);
  ExpectTimeline(setup, {99.161363, 156.800169, 146.800169}, {244.937504, 219.044974, 193.021832});
}

TEST(DistServeSimulatorTest, PromptsGoToTheInstanceWithTheFewestAndTiesToTheFirst) {
  DistServeSetup setup = MakeSetup(1, 1);
  setup.num_prefill = 2;
  // The first two share nobody's queue; the third joins the first, whose one prompt is no more than
  // the other's; the fourth goes to the second instance, which is then the shorter.
  const std::vector<CompatTimes> times =
      Simulate(setup, {{0, 512, 0}, {1, 512, 0}, {2, 512, 0}, {3, 512, 0}});
  const double alone_ms = 75.199881;
  EXPECT_NEAR(times[0].first_token_ms, alone_ms, kExact);
  EXPECT_NEAR(times[1].first_token_ms, 1 + alone_ms, kExact);
  EXPECT_NEAR(times[2].first_token_ms, 2 * alone_ms, kExact);
  EXPECT_NEAR(times[3].first_token_ms, 1 + 2 * alone_ms, kExact);
}

TEST(DistServeSimulatorTest, ARequestWithoutOutputEndsWithItsPrefill) {
  const std::vector<CompatTimes> times = Simulate(MakeSetup(1, 1), {{0, 512, 0}});
  EXPECT_EQ(times[0].exit_ms, times[0].first_token_ms);
  EXPECT_EQ(CompatTpot({0, 512, 0}, times[0]), 0);
}

TEST(DistServeSimulatorTest, DecodeAloneBeginsAtTheArrival) {
  DistServeSetup setup = MakeSetup(1, 1);
  setup.is_decode_only = true;
  const std::vector<CompatTimes> times = Simulate(setup, {{5, 300, 2}});
  EXPECT_EQ(times[0].first_token_ms, 5);
  EXPECT_NEAR(
      times[0].exit_ms,
      5 + DecodeStageMs(setup.decode, 300, 1, true) + DecodeStageMs(setup.decode, 301, 1, true),
      kExact);
}

TEST(DistServeSimulatorTest, WhatWouldWaitForEverIsRefusedByName) {
  const PhaseModel model = Model(kOpt66B, 2, 1);  // 11,600 tokens
  const auto oversized = SimulateDistServe({.prefill = model, .decode = model},
                                           std::vector<CompatRequest>{{0, 10, 1}, {0, 11601, 1}});
  EXPECT_EQ(oversized.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(oversized.status().message()),
              HasSubstr("request 1: its prompt of 11601"));
  const auto endless =
      SimulateDistServe(MakeSetup(2, 1), std::vector<CompatRequest>{{0, 49999, 2}});
  EXPECT_THAT(std::string(endless.status().message()), HasSubstr("request 0: its context"));
}

TEST(DistServeSimulatorTest, TheSameRequestsHaveTheSameTimesBitForBit) {
  const std::vector<CompatRequest> requests =
      MakeRequests(ShareGptLengths(300), PoissonGaps(300, 7), 8);
  const std::vector<CompatTimes> first = Simulate(MakeSetup(1, 2), requests);
  const std::vector<CompatTimes> second = Simulate(MakeSetup(1, 2), requests);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].first_token_ms, second[i].first_token_ms);
    EXPECT_EQ(first[i].exit_ms, second[i].exit_ms);
  }
}

TEST(DistServeSimulatorTest, ARunEndsOnceItHasMissedTooMuch) {
  const std::vector<CompatRequest> requests =
      MakeRequests(ShareGptLengths(300), PoissonGaps(300, 0), 6.9);
  MissBudget budget = {
      .ttft_ms = 250, .tpot_ms = 100, .max_ttft_misses = 300, .max_tpot_misses = 300};
  EXPECT_TRUE(SimulateDistServeWithin(MakeSetup(1, 1), requests, budget)->has_value());
  budget.max_ttft_misses = 5;
  EXPECT_FALSE(SimulateDistServeWithin(MakeSetup(1, 1), requests, budget)->has_value());
}

}  // namespace
}  // namespace tandem
