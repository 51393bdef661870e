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
  EXPECT_THAT(Names({{}}, 2), ElementsAre("2 mixed", "1 prefill + 1 decode"));
}

TEST(ClusterPlacementTest, EveryShapeIsTriedInEveryRole) {
  EXPECT_THAT(Names({{}, {.tp = 2}}, 3),
              ElementsAre("3 mixed", "1 prefill + 1 decode + 1 mixed", "1 prefill + 2 decode",
                          "1 prefill + 1 decode (TP 2)", "2 prefill + 1 decode",
                          "1 prefill (TP 2) + 1 decode"));
}

TEST(ClusterPlacementTest, AllTakeAllDevicesAndNoneComesTwice) {
  const std::vector<InstanceRanks> shapes = {{}, {.tp = 2}, {.tp = 2, .pp = 2}};
  const std::vector<ClusterPlacement> placements = EnumerateClusters(shapes, 8);
  std::set<std::string> names;
  for (const ClusterPlacement& placement : placements) {
    EXPECT_EQ(placement.NumDevices(), 8) << placement.ToString();
    EXPECT_EQ(placement.num_prefill > 0, placement.num_decode > 0) << placement.ToString();
    EXPECT_TRUE(names.insert(placement.ToString()).second) << placement.ToString();
  }
  EXPECT_GT(placements.size(), 100);
}

TEST(ClusterPlacementTest, NothingFitsDevicesThatNoShapeTakes) {
  EXPECT_THAT(Names({{.tp = 2}}, 3), ElementsAre());
}

}  // namespace
}  // namespace tandem
