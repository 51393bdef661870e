#include "scheduler/planner/phase_search.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/sim/cluster_simulator.h"

namespace tandem {
namespace {

// A prefill takes 1 ms per token and a step of decoding 10 ms, whatever is in it.
SimulationOptions One(InstanceRole role) {
  SimulationOptions options;
  options.instances = {
      {.role = role,
       .scheduler = {.num_blocks = 100,
                     .max_model_len = 1600,
                     .max_num_seqs = 64,
                     .max_num_batched_tokens = 512,
                     .max_queued_requests = 10000},
       .latency = LatencyModel::Create({.prefill = {0, 1, 0}, .decode = {10, 0, 0}}).value(),
       .kv_bytes_per_token = 1000}};
  options.nodes = {0};
  options.link_bytes_per_second = 1000;
  return options;
}

SimulationResult RunTwo(const SimulationOptions& options, int output_tokens) {
  Workload workload = DrawWorkload({.num_requests = 2,
                                    .prompt = LengthDistribution::Exactly(100),
                                    .output = LengthDistribution::Exactly(output_tokens)},
                                   0);
  SetArrivals(workload, {.rate = 1e6}, 0);
  auto simulator = ClusterSimulator::Create(options);
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  SimulationResult result = (*simulator)->Run(workload);
  for (const std::string& problem : result.problems) ADD_FAILURE() << problem;
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.outcome, RequestRecord::Outcome::kServed) << record.error;
  }
  return result;
}

RankedCluster Prefill(double rate, const InstanceRanks& shape = {}) {
  return {.placement = {.num_prefill = 1, .prefill = shape}, .score = {.rate = {rate}}};
}

RankedCluster Decode(double rate, const InstanceRanks& shape = {}) {
  return {.placement = {.num_decode = 1, .decode = shape}, .score = {.rate = {rate}}};
}

TEST(PhaseSearchTest, PrefillAloneEndsARequestWithItsFirstToken) {
  SimulationOptions options = One(InstanceRole::kPrefill);
  MakePrefillAlone(&options);
  const SimulationResult result = RunTwo(options, 1);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(result.records[1].latency), 200, 1) << "in one batch";
  EXPECT_EQ(result.num_handoffs, 0);
}

TEST(PhaseSearchTest, DecodeAloneFindsItsKvThere) {
  SimulationOptions options = One(InstanceRole::kDecode);
  MakeDecodeAlone(&options);
  const SimulationResult result = RunTwo(options, 11);
  EXPECT_EQ(result.num_handoffs, 2);
  for (const RequestRecord& record : result.records) {
    EXPECT_NEAR(absl::ToDoubleMilliseconds(record.ttft), 0, 1e-6);
    const double latency_ms = absl::ToDoubleMilliseconds(record.latency);
    EXPECT_GE(latency_ms, 100 - 1e-3) << "ten steps";
    EXPECT_LE(latency_ms, 110) << "behind the one that it came into";
  }
}

TEST(PhaseSearchTest, ADecodeInstanceThatIsFullLetsItsRequestsWait) {
  SimulationOptions options = One(InstanceRole::kDecode);
  options.instances[0].scheduler.num_blocks = 10;
  options.instances[0].scheduler.max_model_len = 160;
  MakeDecodeAlone(&options);
  const SimulationResult result = RunTwo(options, 11);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(result.records[0].latency), 100, 1e-3);
  EXPECT_GT(result.records[1].Tpot(), absl::Milliseconds(15)) << "as in the whole cluster";
}

TEST(PhaseSearchTest, TheDemandIsCarriedByEachPhaseRoundedUp) {
  const JoinedPhases joined = JoinForDemand(Prefill(3, {.tp = 2}), Decode(7), 10);
  EXPECT_EQ(joined.placement.ToString(), "4 prefill (TP 2) + 2 decode");
  EXPECT_DOUBLE_EQ(joined.promised, 12);
  EXPECT_EQ(JoinForDemand(Prefill(3), Decode(7), 0.1).placement.ToString(), "1 prefill + 1 decode");
}

TEST(PhaseSearchTest, WithoutADemandTheSmallestRatioThatWastesLeastComesFirst) {
  const std::vector<JoinedPhases> all = JoinInAllRatios(Prefill(2), Decode(4), 8);
  EXPECT_EQ(all[0].placement.ToString(), "2 prefill + 1 decode");
  EXPECT_EQ(all[1].placement.ToString(), "4 prefill + 2 decode");
  EXPECT_DOUBLE_EQ(all[0].PerDevice(), 4.0 / 3);
  EXPECT_EQ(all.size(), 28) << "as many as there are of at most eight instances";
  const std::vector<JoinedPhases> few = JoinInAllRatios(Prefill(2, {.tp = 2}), Decode(4), 3);
  ASSERT_EQ(few.size(), 1);
  EXPECT_EQ(few[0].placement.ToString(), "1 prefill (TP 2) + 1 decode");
}

// Goodput per device of the best ratio is that of DistServe's sum: a request per second takes
// 1 / g of each phase's devices.
TEST(PhaseSearchTest, NoRatioPromisesMoreThanBothPhasesInProportion) {
  for (const auto& [prefill, decode] : {std::pair(1.0, 1.0), {2.3, 5.1}, {0.4, 3.0}}) {
    const double bound = 1 / (1 / prefill + 1 / decode);
    const JoinedPhases best = JoinInAllRatios(Prefill(prefill), Decode(decode), 8).front();
    EXPECT_LE(best.PerDevice(), bound * (1 + 1e-12));
    EXPECT_GT(best.PerDevice(), 0.9 * bound);
  }
}

}  // namespace
}  // namespace tandem
