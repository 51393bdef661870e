#include "scheduler/planner/planned_instance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/scheduler/planner/recent_traffic.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using testing::MakeInstances;

std::string Roles(const std::vector<PlannedInstance>& instances) {
  std::string roles;
  for (const PlannedInstance& instance : instances) {
    roles += InstanceRoleName(instance.view.role)[0];
  }
  return roles;
}

TEST(PlannedInstanceTest, PlacementsBeginWithThePresentOneAndAllCanServe) {
  const ClusterPlacement present{.num_prefill = 1, .num_decode = 2};
  const auto placements = NearestPlacements(present, 100);
  EXPECT_EQ(placements.size(), 8) << "ten ways, of which two cannot serve";
  EXPECT_EQ(placements.front(), present);
  for (const ClusterPlacement& placement : placements) {
    EXPECT_TRUE(CanServe(placement)) << placement.ToString();
    EXPECT_EQ(placement.num_prefill + placement.num_decode + placement.num_mixed, 3);
  }
  EXPECT_EQ(NearestPlacements({.num_prefill = 20, .num_decode = 44}, 24).size(), 24);
}

TEST(PlannedInstanceTest, ThoseWithLeastToDoAreSwitched) {
  auto instances = MakeInstances("pddd");
  instances[1].view.num_requests = 5;
  instances[2].view.num_requests = 1;
  instances[3].view.num_requests = 9;
  EXPECT_EQ(Roles(AssignRoles(instances, {.num_prefill = 2, .num_decode = 2})), "pdpd");
  EXPECT_EQ(Roles(AssignRoles(instances, PlacementOf(instances))), "pddd");
}

TEST(PlannedInstanceTest, MoreInstancesAreCopiesAndFewerLeaveOutTheLeastBusy) {
  auto instances = MakeInstances("pd");
  instances[1].view.latency.coefficients.decode.base_ms = 33;
  const auto more = AssignRoles(instances, {.num_prefill = 1, .num_decode = 2, .num_mixed = 1});
  ASSERT_EQ(Roles(more), "pddm");
  EXPECT_EQ(more[2].view.latency.coefficients.decode.base_ms, 33);
  auto three = MakeInstances("pdd");
  three[1].view.num_requests = 2;
  const auto fewer = AssignRoles(three, {.num_prefill = 1, .num_decode = 1});
  ASSERT_EQ(fewer.size(), 2);
  EXPECT_EQ(fewer[1].view.id, three[1].view.id);
}

// Whatever the placements, the cluster can serve after each switch.
TEST(PlannedInstanceTest, SwitchesNeverLeaveAClusterThatCannotServe) {
  for (const char* roles : {"pd", "mm", "pdd", "mpd", "mmm", "ppdm", "pddd", "ppddm"}) {
    const auto instances = MakeInstances(roles);
    for (const ClusterPlacement& wanted : NearestPlacements(PlacementOf(instances), 100)) {
      auto now = instances;
      for (const RoleSwitch& change : SwitchesTo(instances, AssignRoles(instances, wanted))) {
        for (PlannedInstance& instance : now) {
          if (instance.view.id != change.id) continue;
          EXPECT_EQ(instance.view.role, change.from);
          EXPECT_EQ(instance.view.epoch, change.epoch);
          instance.view.role = change.to;
        }
        EXPECT_TRUE(CanServe(PlacementOf(now))) << roles << " -> " << wanted.ToString();
      }
      EXPECT_EQ(PlacementOf(now), wanted);
    }
  }
}

TEST(PlannedInstanceTest, InstancesWhoseKvDoesNotFitCannotServeTogether) {
  auto instances = MakeInstances("pd");
  EXPECT_TRUE(CheckServable(instances).ok());
  instances[1].view.layout.dtype = DType::kI8;
  EXPECT_FALSE(CheckServable(instances).ok());
  EXPECT_FALSE(CheckServable(MakeInstances("dd")).ok());
}

TEST(PlannedInstanceTest, LatenciesAreLearntFromTheSameKindFirst) {
  auto instances = MakeInstances("pddp");
  instances[0].view.latency.knows_decode = false;
  instances[0].view.latency.coefficients.decode = {};
  instances[1].view.compute = "another";
  instances[1].view.latency.coefficients.decode.base_ms = 99;
  ASSERT_TRUE(ShareLatencies(instances).ok());
  EXPECT_EQ(instances[0].view.latency.coefficients.decode.base_ms, 10);
  EXPECT_TRUE(instances[0].view.latency.knows_decode);
  EXPECT_EQ(instances[0].view.latency.coefficients.prefill.token_ms, 1) << "its own";
}

TEST(PlannedInstanceTest, WhereNobodyKnowsTheKindOfStepIsNamed) {
  auto instances = MakeInstances("pd");
  for (PlannedInstance& instance : instances) instance.view.latency.knows_decode = false;
  const absl::Status status = ShareLatencies(instances);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("enough decode steps"));
}

}  // namespace
}  // namespace tandem
