#include "scheduler/planner/cluster_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace tandem {
namespace {

using testing::ElementsAre;

std::vector<std::string> Names(absl::Span<const InstanceRanks> shapes, int num_devices) {
  std::vector<std::string> names;
  for (const ClusterPlacement& placement : EnumerateClusters(shapes, num_devices)) {
    names.push_back(placement.ToString());
  }
  return names;
}

TEST(ClusterPlacementTest, TwoDevicesServeTogetherOrApart) {
  EXPECT_THAT(Names({{}}, 2), ElementsAre("1 mixed", "2 mixed", "1 prefill + 1 decode"));
}

TEST(ClusterPlacementTest, EveryShapeIsTriedInEveryRole) {
  EXPECT_THAT(Names({{}, {.tp = 2}}, 3),
              ElementsAre("1 mixed", "2 mixed", "3 mixed", "1 mixed (TP 2)", "1 prefill + 1 decode",
                          "1 prefill + 1 decode + 1 mixed", "1 prefill + 2 decode",
                          "1 prefill + 1 decode (TP 2)", "2 prefill + 1 decode",
                          "1 prefill (TP 2) + 1 decode"));
}

TEST(ClusterPlacementTest, ThreadsOfARankTakeDevicesAndAreNamed) {
  EXPECT_THAT(Names({{.threads = 4, .devices_per_rank = 2}}, 4),
              ElementsAre("1 mixed (4 threads)", "2 mixed (4 threads)",
                          "1 prefill (4 threads) + 1 decode (4 threads)"));
}

TEST(ClusterPlacementTest, AllFitTheDevicesAndNoneComesTwice) {
  const std::vector<InstanceRanks> shapes = {{}, {.tp = 2}, {.tp = 2, .pp = 2}};
  const std::vector<ClusterPlacement> placements = EnumerateClusters(shapes, 8);
  std::set<std::string> names;
  for (const ClusterPlacement& placement : placements) {
    EXPECT_GE(placement.NumDevices(), 1) << placement.ToString();
    EXPECT_LE(placement.NumDevices(), 8) << placement.ToString();
    EXPECT_EQ(placement.num_prefill > 0, placement.num_decode > 0) << placement.ToString();
    EXPECT_TRUE(names.insert(placement.ToString()).second) << placement.ToString();
  }
  EXPECT_GT(placements.size(), 100);
}

TEST(ClusterPlacementTest, ManyDevicesAreForCopies) {
  const std::vector<InstanceRanks> one = {{}};
  EXPECT_EQ(EnumerateClusters(one, 1000).size(), EnumerateClusters(one, 8).size());
}

TEST(ClusterPlacementTest, NothingFitsDevicesThatNoShapeTakes) {
  EXPECT_THAT(Names({{.tp = 4}}, 3), ElementsAre());
}

}  // namespace
}  // namespace tandem
