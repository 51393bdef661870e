#include "server/cli/launch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "server/cli/instance_plan.h"
#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ClusterPlacement kPair = {.num_prefill = 2, .num_decode = 1};

LaunchPlan Launch(const std::vector<InstanceProfile>& profiles,
                  const std::vector<std::string>& args, const ClusterPlacement& placement,
                  const std::vector<std::string>& nodes = {"node", "node", "node"}) {
  const auto planner = MakePlanner(profiles, args);
  EXPECT_TRUE(planner.ok()) << planner.status();
  auto plan = MakeLaunchPlan(*planner, placement, nodes);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

// As the daemon reads it.
Config Load(Command command, const std::vector<std::string>& args) {
  auto config = LoadConfig(command, {args.begin() + 1, args.end()},
                           [](const std::string&) { return std::nullopt; });
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

TEST(LaunchPlanTest, ServeReadsItsCommandBackAsThePlacement) {
  InstanceProfile profile = MadeUpProfile(1, 3);
  profile.block_size = 32;
  const LaunchPlan plan = Launch(
      {profile}, {"--model", "m.gguf", "--max-num-seqs", "7", "--no-prefix-caching"},
      {.num_prefill = 2, .num_decode = 1, .prefill = {.threads = 3}, .decode = {.threads = 3}});
  ASSERT_EQ(plan.serve.front(), "serve");
  const Config config = Load(SERVE, plan.serve);
  EXPECT_EQ(config.model(), "m.gguf");
  EXPECT_EQ(config.tp() * config.pp(), 1);
  EXPECT_EQ(config.threads(), 3);
  EXPECT_EQ(config.max_num_seqs(), 7);
  EXPECT_EQ(config.block_size(), 32);
  EXPECT_EQ(config.kv_cache_bytes(), 16384 * 1000);
  EXPECT_FALSE(config.prefix_caching());
  const auto instances = PlanInstances(config, {0, 1, 2});
  ASSERT_TRUE(instances.ok()) << instances.status();
  std::vector<std::string> ids;
  for (const InstancePlan& instance : *instances) ids.push_back(instance.id);
  EXPECT_THAT(ids, ElementsAre("prefill-0", "prefill-1", "decode-0"));
}

TEST(LaunchPlanTest, TheDaemonsRouterIsToldOfTheLinkThatTheSimulatedOneKnew) {
  const std::vector<std::string> args = {"--link-bandwidth", "300MB"};
  const LaunchPlan plan = Launch({MadeUpProfile()}, args, kPair);
  EXPECT_EQ(Load(SERVE, plan.serve).kv_bandwidth(), 300'000'000);
  EXPECT_EQ(Load(SCHEDULER, plan.processes[0].args).kv_bandwidth(), 300'000'000);
  EXPECT_THAT(plan.compose, HasSubstr("\"--kv-bandwidth\",\"300000000\""));
  EXPECT_THAT(CommandText(Launch({MadeUpProfile()}, args, {.num_mixed = 1}, {"node"}).serve),
              testing::Not(HasSubstr("--kv-bandwidth")))
      << "no KV travels";
}

TEST(LaunchPlanTest, MixedInstancesStandAlone) {
  const LaunchPlan plan =
      Launch({MadeUpProfile(2)}, {}, {.num_mixed = 2, .mixed = {.tp = 2}}, {"node", "node"});
  EXPECT_THAT(plan.serve, ElementsAre("serve", "--model", "MODEL", "--mixed", "2", "--tp", "2",
                                      "--kv-cache-bytes", "16384000"));
  EXPECT_EQ(PlanInstances(Load(SERVE, plan.serve), {0})->size(), 2);
}

TEST(LaunchPlanTest, RolesOfDifferentShapesAreProcessesOfTheirOwn) {
  const LaunchPlan plan = Launch({MadeUpProfile(), MadeUpProfile(2)}, {"--model", "m"},
                                 {.num_prefill = 1, .num_decode = 2, .prefill = {.tp = 2}});
  EXPECT_THAT(plan.serve, IsEmpty());
  ASSERT_EQ(plan.processes.size(), 5);
  const std::string scheduler = Load(GATEWAY, plan.processes[1].args).scheduler();
  EXPECT_EQ(absl::StrCat("127.0.0.1:", Load(SCHEDULER, plan.processes[0].args).grpc_port()),
            scheduler);
  const Config prefill = Load(WORKER, plan.processes[2].args);
  EXPECT_EQ(prefill.role(), "prefill");
  EXPECT_EQ(prefill.tp(), 2);
  EXPECT_EQ(prefill.scheduler(), scheduler);
  const Config decode = Load(WORKER, plan.processes[4].args);
  EXPECT_EQ(decode.role(), "decode");
  EXPECT_EQ(decode.tp(), 1);
  EXPECT_EQ(decode.grpc_port(), 0);
  EXPECT_THAT(LaunchText(plan), HasSubstr("2 x node: tandem worker --role decode"));
}

TEST(LaunchPlanTest, OnSeveralNodesEachProcessSaysWhere) {
  const LaunchPlan plan = Launch({MadeUpProfile()}, {}, kPair, {"a", "b", "b"});
  EXPECT_THAT(plan.serve, IsEmpty());
  EXPECT_THAT(plan.compose, IsEmpty()) << "it describes one machine";
  std::vector<std::string> nodes;
  for (const LaunchProcess& process : plan.processes) nodes.push_back(process.node);
  EXPECT_THAT(nodes, ElementsAre("a", "a", "a", "b", "b"));
  const Config worker = Load(WORKER, plan.processes.back().args);
  EXPECT_EQ(worker.scheduler(), "a:7000");
  EXPECT_EQ(worker.host(), "0.0.0.0");
}

TEST(LaunchPlanTest, TheComposeOverrideFitsTheComposeFile) {
  const LaunchPlan plan = Launch({MadeUpProfile(2, 4)}, {},
                                 {.num_prefill = 3,
                                  .num_decode = 1,
                                  .prefill = {.tp = 2, .threads = 4},
                                  .decode = {.tp = 2, .threads = 4}},
                                 {"node", "node", "node", "node"});
  const YAML::Node override_file = YAML::Load(plan.compose)["services"];
  const YAML::Node base = YAML::LoadFile(TANDEM_SOURCE_DIR "/deploy/compose.yaml")["services"];
  EXPECT_EQ(override_file["prefill"]["scale"].as<int>(), 3);
  EXPECT_EQ(override_file["mixed"]["scale"].as<int>(), 0);
  for (const auto& service : override_file) {
    const std::string role = service.first.Scalar();
    SCOPED_TRACE(role);
    ASSERT_TRUE(base[role].IsDefined());
    if (role == "scheduler") {
      const auto args = service.second["command"].as<std::vector<std::string>>();
      const auto usual = base[role]["command"].as<std::vector<std::string>>();
      EXPECT_GT(Load(SCHEDULER, args).kv_bandwidth(), 0);
      EXPECT_EQ(Load(SCHEDULER, args).grpc_port(), Load(SCHEDULER, usual).grpc_port());
      EXPECT_EQ(Load(SCHEDULER, args).host(), Load(SCHEDULER, usual).host());
      continue;
    }
    EXPECT_EQ(base[role]["scale"].as<int>(1), role == "mixed" ? 0 : 1);
    if (!service.second["command"]) continue;
    const auto given = Load(WORKER, service.second["command"].as<std::vector<std::string>>());
    const auto usual = Load(WORKER, base[role]["command"].as<std::vector<std::string>>());
    EXPECT_EQ(given.role(), role);
    EXPECT_EQ(given.tp(), 2);
    EXPECT_EQ(given.threads(), 4);
    EXPECT_EQ(given.role(), usual.role());
    EXPECT_EQ(given.model(), usual.model());
    EXPECT_EQ(given.scheduler(), usual.scheduler());
    EXPECT_EQ(given.host(), usual.host());
    EXPECT_EQ(given.grpc_port(), usual.grpc_port());
  }
}

TEST(LaunchPlanTest, CommandsAreQuotedForTheShell) {
  EXPECT_EQ(CommandText({"serve", "--model", "my model", "it's", ""}),
            "tandem serve --model 'my model' 'it'\\''s' ''");
}

}  // namespace
}  // namespace tandem
