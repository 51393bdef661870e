#include "scheduler/sim/cluster_simulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace tandem {
namespace {

using Outcome = RequestRecord::Outcome;

LatencyModel Model() {
  return LatencyModel::Create({.prefill = {5, 0.1, 1e-6}, .decode = {10, 5e-4, 0.1}}).value();
}

SimInstanceOptions Instance(InstanceRole role, int num_blocks = 4000) {
  return {.role = role,
          .scheduler = {.num_blocks = num_blocks,
                        .max_model_len = 4096,
                        .max_num_seqs = 256,
                        .max_num_batched_tokens = 2048,
                        .max_queued_requests = 100000},
          .latency = Model(),
          .kv_bytes_per_token = 1000,
          .num_layers = 10};
}

SimulationOptions Cluster(int num_prefill, int num_decode, int num_blocks = 4000) {
  SimulationOptions options;
  for (int i = 0; i < num_prefill; ++i) {
    options.instances.push_back(Instance(InstanceRole::kPrefill, num_blocks));
  }
  for (int i = 0; i < num_decode; ++i) {
    options.instances.push_back(Instance(InstanceRole::kDecode, num_blocks));
  }
  options.network_delay = absl::Milliseconds(1);
  return options;
}

Workload Draw(int num_requests, double rate, const char* prompt = "1..900",
              const char* output = "1..120") {
  Workload workload = DrawWorkload({.num_requests = num_requests,
                                    .prompt = LengthDistribution::Parse(prompt).value(),
                                    .output = LengthDistribution::Parse(output).value()},
                                   /*seed=*/7);
  SetArrivals(workload, {.rate = rate}, /*seed=*/7);
  return workload;
}

SimulationResult RunAll(const SimulationOptions& options, const Workload& workload) {
  auto simulator = ClusterSimulator::Create(options);
  EXPECT_TRUE(simulator.ok()) << simulator.status();
  SimulationResult result = (*simulator)->Run(workload);
  for (const std::string& problem : result.problems) ADD_FAILURE() << problem;
  EXPECT_EQ(result.records.size(), workload.requests.size());
  return result;
}

int Count(const SimulationResult& result, Outcome outcome) {
  int count = 0;
  for (const RequestRecord& record : result.records) count += record.outcome == outcome;
  return count;
}

void ExpectAllServedInFull(const SimulationResult& result, const Workload& workload) {
  for (size_t i = 0; i < workload.requests.size(); ++i) {
    EXPECT_EQ(result.records[i].outcome, Outcome::kServed) << result.records[i].error;
    EXPECT_EQ(result.records[i].output_tokens, workload.requests[i].output_tokens) << i;
  }
}

double Milliseconds(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

TEST(ClusterSimulatorTest, OneRequestTakesTheSumOfItsStages) {
  SimulationOptions options = Cluster(1, 1);
  options.link_bytes_per_second = 1e6;  // 1 ms per token
  options.layerwise = false;
  const SimulationResult result = RunAll(options, Draw(1, 1, "100", "3"));
  const double prefill = Milliseconds(Model().PrefillTime(100, 0));
  // Client, scheduler, gateway, worker; and back.
  EXPECT_NEAR(Milliseconds(result.records[0].ttft), 4 + prefill, 1e-3);
  // Announced, reserved, moved, offered; then two steps and the way back.
  const double decode =
      Milliseconds(Model().DecodeTime(1, 101)) + Milliseconds(Model().DecodeTime(1, 102));
  EXPECT_NEAR(Milliseconds(result.records[0].latency), 3 + prefill + 2 + 100 + 1 + decode + 1,
              1e-2);
  EXPECT_EQ(result.num_handoffs, 1);
  EXPECT_NEAR(result.transferred_bytes, 100 * 1000, 1);
}

TEST(ClusterSimulatorTest, AMeasuredPathTakesThePlaceOfTheNetworksDelay) {
  SimulationOptions options = Cluster(1, 1);
  options.path = {.ingress = absl::Milliseconds(10),
                  .route = absl::Milliseconds(20),
                  .network = absl::Milliseconds(40),
                  .detokenize = absl::Milliseconds(5)};
  const Workload workload = Draw(1, 1, "100", "3");
  const double prefill = Milliseconds(Model().PrefillTime(100, 0));
  const SimulationResult message = RunAll(options, workload);
  EXPECT_NEAR(Milliseconds(message.records[0].ttft), 10 + 20 + 40 + 5 + prefill, 1e-3);
  options.path->kv_exposed = absl::Milliseconds(7);  // instead of a message of 1 ms
  const SimulationResult exposed = RunAll(options, workload);
  EXPECT_EQ(exposed.records[0].ttft, message.records[0].ttft);
  EXPECT_NEAR(Milliseconds(exposed.records[0].latency - message.records[0].latency), 6, 1e-3);
}

TEST(ClusterSimulatorTest, APathThatIsNegativeIsRefused) {
  SimulationOptions options = Cluster(1, 1);
  options.path.emplace().route = absl::Milliseconds(-1);
  EXPECT_EQ(options.Validate().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ClusterSimulatorTest, KvBetweenNodesGoesOverTheirLinksAndWithinOneOverItsOwn) {
  SimulationOptions options = Cluster(1, 1);
  options.layerwise = false;
  options.link_bytes_per_second = 1e6;  // 100 ms for the prompt
  options.node_bytes_per_second = 5e5;  // 200 ms
  const Workload workload = Draw(1, 1, "100", "3");
  const SimulationResult nowhere = RunAll(options, workload);
  options.nodes = {1, 1};
  const SimulationResult within = RunAll(options, workload);
  EXPECT_EQ(within.digest, nowhere.digest);
  options.nodes = {0, 1};
  const SimulationResult between = RunAll(options, workload);
  EXPECT_NEAR(Milliseconds(between.records[0].latency - within.records[0].latency), 100, 1e-2);
}

TEST(ClusterSimulatorTest, InstancesOfANodeShareItsLink) {
  SimulationOptions options = Cluster(2, 2);
  options.layerwise = false;
  options.node_bytes_per_second = 1e6;
  const Workload burst = Draw(2, 1e6, "1000", "2");
  options.nodes = {0, 1, 2, 3};
  const SimulationResult alone = RunAll(options, burst);
  options.nodes = {0, 0, 1, 2};
  const SimulationResult shared = RunAll(options, burst);
  EXPECT_NEAR(Milliseconds(alone.records[1].latency - alone.records[1].ttft), 1000, 50);
  EXPECT_NEAR(Milliseconds(shared.records[1].latency - shared.records[1].ttft), 2000, 50);
}

TEST(ClusterSimulatorTest, TheRouterIsToldTheSlowestLinkThatKvMayTake) {
  SimulationOptions options = Cluster(1, 1);
  options.link_bytes_per_second = 1e8;
  options.node_bytes_per_second = 1e7;
  EXPECT_EQ(options.SlowestLink(), 1e8);
  options.nodes = {1, 1};
  EXPECT_EQ(options.SlowestLink(), 1e8);
  options.nodes = {0, 1};
  EXPECT_EQ(options.SlowestLink(), 1e7);
}

TEST(ClusterSimulatorTest, WhereTheLinkIsSlowTheRouterLeavesKvWhereItIs) {
  SimulationOptions options;
  options.instances = {Instance(InstanceRole::kMixed), Instance(InstanceRole::kDecode)};
  const Workload workload = Draw(100, 10);
  EXPECT_GT(RunAll(options, workload).num_handoffs, 0);
  options.link_bytes_per_second = 1e4;  // 45 s for the mean prompt
  EXPECT_EQ(RunAll(options, workload).num_handoffs, 0);
}

TEST(ClusterSimulatorTest, ARunThatIsAskedToStopDoesSoAtOnce) {
  SimulationOptions options = Cluster(1, 1);
  std::stop_source stop;
  options.stop = stop.get_token();
  auto simulator = ClusterSimulator::Create(options);
  ASSERT_TRUE(simulator.ok());
  int num_ended = 0;
  (*simulator)->SetOnEnd([&](const RequestRecord& record) {
    EXPECT_EQ(record.outcome, Outcome::kServed);
    if (++num_ended == 10) stop.request_stop();
  });
  const SimulationResult result = (*simulator)->Run(Draw(100, 10));
  EXPECT_TRUE(result.was_stopped);
  EXPECT_EQ(num_ended, 10);
  EXPECT_TRUE(result.problems.empty()) << "what is under way is none";
}

TEST(ClusterSimulatorTest, ANodeForSomeInstancesOnlyIsRefused) {
  SimulationOptions options = Cluster(1, 1);
  for (const std::vector<int>& nodes : {std::vector<int>{0}, {0, -1}}) {
    options.nodes = nodes;
    EXPECT_EQ(ClusterSimulator::Create(options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(ClusterSimulatorTest, LayersThatTravelDuringThePrefillLeaveOnlyTheLastToWaitFor) {
  SimulationOptions options = Cluster(1, 1);
  options.link_bytes_per_second = 1e7;  // 0.1 ms per token, as fast as prefill
  const Workload workload = Draw(1, 1, "1000", "2");
  const SimulationResult layerwise = RunAll(options, workload);
  options.layerwise = false;
  const SimulationResult after = RunAll(options, workload);
  EXPECT_EQ(layerwise.records[0].ttft, after.records[0].ttft);
  const absl::Duration saved = after.records[0].latency - layerwise.records[0].latency;
  EXPECT_GT(saved, absl::Milliseconds(80));
  EXPECT_LE(saved, absl::Milliseconds(105));
}

TEST(ClusterSimulatorTest, SameSeedSameDecisionsOtherSeedOthers) {
  SimulationOptions options = Cluster(2, 2, 300);
  options.cancel_share = 0.2;
  options.failures = {{.time = absl::Seconds(3), .instance = 2, .down = absl::Seconds(2)}};
  const Workload workload = Draw(300, 30);
  const SimulationResult a = RunAll(options, workload), b = RunAll(options, workload);
  EXPECT_EQ(a.digest, b.digest);
  EXPECT_EQ(a.num_events, b.num_events);
  for (size_t i = 0; i < a.records.size(); ++i) {
    EXPECT_EQ(a.records[i].latency, b.records[i].latency) << i;
  }
  options.seed = 1;
  EXPECT_NE(RunAll(options, workload).digest, a.digest);
}

TEST(ClusterSimulatorTest, StepsThatScatterTakeTheirMeanAndDifferFromRequestToRequest) {
  SimulationOptions options = Cluster(1, 1);
  for (SimInstanceOptions& instance : options.instances) {
    instance.scatter = {.prefill = 0.1, .decode = 0.2};
  }
  const Workload workload = Draw(2000, 0.5, "500", "8");  // hardly any waits for another one
  const SimulationResult result = RunAll(options, workload);
  const double prefill = Milliseconds(Model().PrefillTime(500, 0));
  double sum = 0, distance = 0;
  for (const RequestRecord& record : result.records) {
    const double taken = (Milliseconds(record.ttft) - 4) / prefill;
    sum += taken;
    distance += std::abs(taken - 1);
  }
  EXPECT_NEAR(sum / 2000, 1, 0.05);
  EXPECT_NEAR(distance / 2000, 0.1, 0.05);
  EXPECT_EQ(RunAll(options, workload).digest, result.digest);
  options.seed = 8;
  EXPECT_NE(RunAll(options, workload).digest, result.digest);
}

TEST(ClusterSimulatorTest, ABurstOfTwiceTheDecodeMemoryIsServedInFull) {
  // G.3: 60 x 500 tokens; the decode pool holds half of that.
  SimulationOptions options = Cluster(1, 1);
  options.instances[1].scheduler.num_blocks = 60 * 500 / 16 / 2;
  const Workload workload = Draw(60, std::numeric_limits<double>::infinity(), "500", "200");
  const SimulationResult result = RunAll(options, workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_LE(result.instances[1].max_blocks_in_use, 60 * 500 / 16 / 2);
  EXPECT_GT(result.stages.transfer / 60, absl::Milliseconds(50));  // they wait at the prefill side
}

TEST(ClusterSimulatorTest, PromptsAreSpreadOverPrefillInstances) {
  // G.1
  const Workload workload = Draw(40, std::numeric_limits<double>::infinity(), "500", "2");
  const SimulationResult result = RunAll(Cluster(4, 1), workload);
  ExpectAllServedInFull(result, workload);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(absl::ToDoubleSeconds(result.instances[i].busy),
                absl::ToDoubleSeconds(result.instances[0].busy), 0.1);
  }
}

TEST(ClusterSimulatorTest, ABatchTakesNoFurtherPromptThanKeepsTheDeviceBusy) {
  // G.2: with L_m = 600, 20 prompts of 500 need 17 steps or more; without, 5 of 2048 tokens.
  SimulationOptions options = Cluster(1, 1);
  const Workload workload = Draw(20, std::numeric_limits<double>::infinity(), "500", "1");
  EXPECT_LE(RunAll(options, workload).instances[0].steps, 6);
  options.instances[0].scheduler.prefill_batch_tokens = 600;
  EXPECT_GE(RunAll(options, workload).instances[0].steps, 17);
}

TEST(ClusterSimulatorTest, ClientsThatGoAwayAtAnyStageLeaveNothingBehind) {
  // G.7: the ledgers are checked by Run.
  std::set<bool> had_token;
  for (const int mean_ms : {2, 20, 60, 200, 1000}) {
    SimulationOptions options = Cluster(2, 2, 400);
    options.link_bytes_per_second = 1e7;
    options.cancel_share = 0.8;
    options.cancel_after = absl::Milliseconds(mean_ms);
    const SimulationResult result = RunAll(options, Draw(200, 40));
    EXPECT_GT(Count(result, Outcome::kFailed), 40);
    for (const RequestRecord& record : result.records) {
      if (record.outcome == Outcome::kFailed) had_token.insert(record.output_tokens > 0);
    }
  }
  EXPECT_EQ(had_token.size(), 2u);
}

TEST(ClusterSimulatorTest, RequestsSurviveTheDeathOfTheirWorkers) {
  SimulationOptions options = Cluster(2, 2);
  for (int i = 0; i < 4; ++i) {
    options.failures.push_back(
        {.time = absl::Seconds(2 + i), .instance = i, .down = absl::Milliseconds(700)});
  }
  const Workload workload = Draw(200, 20);
  const SimulationResult result = RunAll(options, workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_GT(result.num_replays, 3);
  for (const SimInstanceTotals& totals : result.instances) EXPECT_EQ(totals.num_deaths, 1);
}

TEST(ClusterSimulatorTest, APrefillWorkerMayDieWhileTheNewsOfItsKvTravels) {
  SimulationOptions options = Cluster(2, 2);
  options.network_delay = absl::Milliseconds(100);
  for (int i = 1; i <= 10; ++i) {
    options.failures.push_back(
        {.time = absl::Seconds(i), .instance = i % 2, .down = absl::Milliseconds(100)});
  }
  const Workload workload = Draw(200, 20);
  const SimulationResult result = RunAll(options, workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_GT(result.num_replays, 0);
}

TEST(ClusterSimulatorTest, WithoutALiveWorkerRequestsFailInTime) {
  SimulationOptions options = Cluster(1, 1);
  options.failures = {{.time = absl::Milliseconds(500), .instance = 1, .down = absl::Minutes(10)}};
  const SimulationResult result = RunAll(options, Draw(20, 10));
  EXPECT_GT(Count(result, Outcome::kFailed), 5);
}

TEST(ClusterSimulatorTest, SmallPoolsPreemptAndLoseNothing) {
  SimulationOptions options = Cluster(1, 2, 150);
  const Workload workload = Draw(150, 20, "50..400", "20..600");
  const SimulationResult result = RunAll(options, workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_GT(result.instances[1].preemptions + result.instances[2].preemptions, 0);
}

TEST(ClusterSimulatorTest, MixedInstancesNeedNoHandoff) {
  SimulationOptions options;
  options.instances = {Instance(InstanceRole::kMixed), Instance(InstanceRole::kMixed)};
  const Workload workload = Draw(100, 10);
  const SimulationResult result = RunAll(options, workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_EQ(result.num_handoffs, 0);
  EXPECT_EQ(result.records[0].path, "local");
}

TEST(ClusterSimulatorTest, StagesOfAPipelineOverlap) {
  SimulationOptions options = Cluster(1, 1);
  options.instances[0].scheduler.max_num_batched_tokens = 500;
  const Workload workload = Draw(40, std::numeric_limits<double>::infinity(), "500", "1");
  const absl::Duration one = RunAll(options, workload).length;
  options.instances[0].scheduler.depth = 2;
  const absl::Duration two = RunAll(options, workload).length;
  EXPECT_NEAR(absl::FDivDuration(two, one), 0.5, 0.05);
}

TEST(ClusterSimulatorTest, PromptsThatBeginAlikeAreComputedOnce) {
  Workload workload = Draw(20, 1, "1024", "4");
  workload.block_tokens = 512;
  for (size_t i = 0; i < workload.requests.size(); ++i)
    workload.requests[i].block_ids = {1, 100 + i};
  const SimulationResult result = RunAll(Cluster(1, 1), workload);
  ExpectAllServedInFull(result, workload);
  EXPECT_EQ(result.records[0].cached_tokens, 0);
  EXPECT_EQ(result.records[5].cached_tokens, 512);
}

// Four texts come at once, in another order each time, so that only what a router knows of prefixes
// brings each to the instance that has it.
TEST(ClusterSimulatorTest, RequestsGoToTheInstanceThatHoldsTheirPrefix) {
  constexpr int kTexts = 4, kRounds = 10, kTokens = 512;
  SimulationOptions options;
  options.instances.assign(kTexts, Instance(InstanceRole::kMixed));
  Workload workload;
  workload.block_tokens = kTokens;
  for (int i = 0; i < kTexts * kRounds; ++i) {
    const int round = i / kTexts;
    workload.requests.push_back({.arrival = absl::Seconds(round),
                                 .prompt_tokens = kTokens + 1,
                                 .output_tokens = 2,
                                 .block_ids = {uint64_t((i + round) % kTexts), uint64_t(100 + i)}});
  }
  int64_t num_hits = 0;
  for (const SimInstanceTotals& totals : RunAll(options, workload).instances) {
    num_hits += totals.prefix_hit_tokens;
  }
  EXPECT_EQ(num_hits, kTexts * (kRounds - 1) * kTokens);
}

TEST(ClusterSimulatorTest, ARequestThatNeverFitsIsRefused) {
  const SimulationResult result = RunAll(Cluster(1, 1, 20), Draw(1, 1, "1000", "4"));
  EXPECT_EQ(result.records[0].outcome, Outcome::kShed);
}

TEST(ClusterSimulatorTest, OptionsThatMakeNoSenseAreNamed) {
  EXPECT_EQ(ClusterSimulator::Create({}).status().code(), absl::StatusCode::kInvalidArgument);
  SimulationOptions options = Cluster(1, 1);
  options.failures = {{.time = absl::Seconds(1), .instance = 2}};
  EXPECT_FALSE(ClusterSimulator::Create(options).ok());
  options = Cluster(1, 1);
  options.link_bytes_per_second = 0;
  EXPECT_FALSE(ClusterSimulator::Create(options).ok());
}

}  // namespace
}  // namespace tandem
