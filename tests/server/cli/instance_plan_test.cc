#include "server/cli/instance_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Config MakeConfig(int64_t prefill, int64_t decode, int64_t mixed, int64_t threads = 0) {
  Config config;
  config.set_prefill(prefill);
  config.set_decode(decode);
  config.set_mixed(mixed);
  config.set_threads(threads);
  config.set_tp(1);
  config.set_pp(1);
  return config;
}

TEST(InstancePlanTest, OneOfEachIsTheDefaultAndEachGetsHalfTheCores) {
  const auto plan = PlanInstances(MakeConfig(-1, -1, 0), {0, 1, 4, 5});
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->size(), 2);
  EXPECT_EQ((*plan)[0].id, "prefill-0");
  EXPECT_THAT((*plan)[0].cpus, ElementsAre(0, 1));
  EXPECT_EQ((*plan)[1].id, "decode-0");
  EXPECT_THAT((*plan)[1].cpus, ElementsAre(4, 5));
}

TEST(InstancePlanTest, MixedAloneReplacesThePair) {
  const auto plan = PlanInstances(MakeConfig(-1, -1, 1), {0, 1});
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->size(), 1);
  EXPECT_EQ((*plan)[0].role, "mixed");
  EXPECT_EQ((*plan)[0].threads, 2);
}

TEST(InstancePlanTest, InstancesThatShareCoresAreNotPinned) {
  const auto plan = PlanInstances(MakeConfig(2, 1, 0), {0, 1});
  ASSERT_TRUE(plan.ok()) << plan.status();
  for (const InstancePlan& instance : *plan) {
    EXPECT_EQ(instance.threads, 1);
    EXPECT_THAT(instance.cpus, IsEmpty());
  }
  EXPECT_THAT((*PlanInstances(MakeConfig(1, 1, 0, 2), {0, 1}))[0].cpus, IsEmpty());
}

TEST(InstancePlanTest, EveryRankOfAnInstanceGetsItsThreads) {
  Config config = MakeConfig(1, 1, 0);
  config.set_tp(2);
  const auto plan = PlanInstances(config, {0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ((*plan)[0].threads, 2);
  EXPECT_THAT((*plan)[0].cpus, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT((*plan)[1].cpus, ElementsAre(4, 5, 6, 7));
  config.set_pp(3);
  EXPECT_THAT((*PlanInstances(config, {0, 1, 2, 3, 4, 5, 6, 7}))[0].cpus, IsEmpty());
}

TEST(InstancePlanTest, RolesThatCannotServeAreRefused) {
  EXPECT_FALSE(PlanInstances(MakeConfig(1, 0, 0), {0, 1}).ok());
  EXPECT_FALSE(PlanInstances(MakeConfig(0, 1, 0), {0, 1}).ok());
  EXPECT_TRUE(PlanInstances(MakeConfig(0, 0, 1), {0, 1}).ok());
}

TEST(InstancePlanTest, CpuListsReadAndWrite) {
  EXPECT_THAT(*ParseCpuList("0,2-4"), ElementsAre(0, 2, 3, 4));
  EXPECT_THAT(*ParseCpuList(""), IsEmpty());
  EXPECT_EQ(FormatCpuList({0, 2, 3}), "0,2,3");
  for (const char* bad : {"a", "3-1", "1-2-3", "-1", "99999999"}) {
    EXPECT_THAT(std::string(ParseCpuList(bad).status().message()), HasSubstr("is not a core"));
  }
  EXPECT_THAT(std::string(ParseCpuList("0-3,2").status().message()),
              HasSubstr("core 2 is named twice"));
}

}  // namespace
}  // namespace tandem
