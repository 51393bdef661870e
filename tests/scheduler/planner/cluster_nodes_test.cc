#include "scheduler/planner/cluster_nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ClusterNodes Cluster(int num_nodes, int num_devices) {
  ClusterNodes cluster;
  cluster.kinds = {{.name = "n", .count = num_nodes, .num_devices = num_devices}};
  return cluster;
}

TEST(ClusterNodesTest, CountsAndNamesNodesThroughAllKinds) {
  ClusterNodes cluster;
  cluster.kinds = {{.name = "big", .count = 2, .num_devices = 8}, {.name = "small"}};
  EXPECT_EQ(cluster.NumNodes(), 3);
  EXPECT_EQ(cluster.NumDevices(), 17);
  EXPECT_EQ(cluster.MaxDevicesPerNode(), 8);
  EXPECT_EQ(cluster.NodeName(0), "big-0");
  EXPECT_EQ(cluster.NodeName(1), "big-1");
  EXPECT_EQ(cluster.NodeName(2), "small");
}

TEST(ClusterNodesTest, ARankTakesTheDevicesThatItsThreadsNeed) {
  ClusterNodes cluster = Cluster(1, 8);
  EXPECT_EQ(DevicesPerRank(cluster, 8), 1) << "where nothing is said of cores";
  cluster.cores_per_device = 4;
  EXPECT_EQ(DevicesPerRank(cluster, 0), 1);
  EXPECT_EQ(DevicesPerRank(cluster, 4), 1);
  EXPECT_EQ(DevicesPerRank(cluster, 5), 2);
}

// DistServe's Algorithm 2. Every rank of Tandem's instances, so every stage of both phases, stands
// on the node of its instance.
TEST(ClusterNodesTest, LowAffinityPutsPrefillAndDecodeOnOneNode) {
  const std::vector<InstanceRanks> shapes = {{}, {.tp = 2}, {.tp = 2, .pp = 2}};
  const ClusterNodes cluster = Cluster(3, 6);
  for (const ClusterPlacement& placement : EnumerateClusters(shapes, 6)) {
    SCOPED_TRACE(placement.ToString());
    const auto copies = PlaceCopies(cluster, placement, {}, NodeAffinity::kLow);
    EXPECT_EQ(copies.size(), 3 * (6 / placement.NumDevices()));
    for (const InstanceNodes& nodes : copies) {
      ASSERT_EQ(nodes.size(), placement.num_prefill + placement.num_decode + placement.num_mixed);
      EXPECT_THAT(std::set<int>(nodes.begin(), nodes.end()), SizeIs(1));
    }
  }
}

TEST(ClusterNodesTest, NoNodeGetsMoreThanItHas) {
  const std::vector<InstanceRanks> shapes = {{}, {.tp = 3}};
  ClusterNodes cluster;
  cluster.kinds = {{.name = "a", .count = 2, .num_devices = 4}, {.name = "b", .num_devices = 3}};
  for (NodeAffinity affinity : {NodeAffinity::kLow, NodeAffinity::kHigh}) {
    for (const ClusterPlacement& placement : EnumerateClusters(shapes, 11)) {
      SCOPED_TRACE(placement.ToString());
      std::map<int, int> taken;
      for (const InstanceNodes& nodes : PlaceCopies(cluster, placement, {}, affinity)) {
        for (size_t i = 0; i < nodes.size(); ++i) {
          const int index = static_cast<int>(i);
          const InstanceRanks& shape = index < placement.num_prefill ? placement.prefill
                                       : index < placement.num_prefill + placement.num_decode
                                           ? placement.decode
                                           : placement.mixed;
          taken[nodes[i]] += shape.NumDevices();
        }
      }
      for (const auto& [node, num_devices] : taken) EXPECT_LE(num_devices, node < 2 ? 4 : 3);
    }
  }
}

TEST(ClusterNodesTest, WhatFitsNoNodeTogetherNeedsHighAffinity) {
  const ClusterPlacement placement = {
      .num_prefill = 2, .num_decode = 2, .prefill = {}, .decode = {.tp = 2}};
  const ClusterNodes cluster = Cluster(2, 3);
  EXPECT_THAT(PlaceCopies(cluster, placement, {}, NodeAffinity::kLow), IsEmpty());
  // Each node has one of both.
  EXPECT_THAT(PlaceCopies(cluster, placement, {}, NodeAffinity::kHigh),
              ElementsAre(ElementsAre(0, 1, 0, 1)));
}

TEST(ClusterNodesTest, HighAffinityKeepsTogetherWhatFitsOneNode) {
  const ClusterPlacement pair = {.num_prefill = 1, .num_decode = 1};
  EXPECT_THAT(PlaceCopies(Cluster(2, 3), pair, {}, NodeAffinity::kHigh),
              ElementsAre(ElementsAre(0, 0), ElementsAre(1, 1), ElementsAre(0, 1)));
}

TEST(ClusterNodesTest, AnInstanceNeverSpansNodes) {
  const ClusterPlacement placement = {.num_mixed = 1, .mixed = {.tp = 2, .pp = 2}};
  EXPECT_THAT(PlaceCopies(Cluster(4, 3), placement, {}, NodeAffinity::kHigh), IsEmpty());
  EXPECT_THAT(PlaceCopies(Cluster(2, 4), placement, {}, NodeAffinity::kHigh), SizeIs(2));
}

TEST(ClusterNodesTest, WeightsAndKvHaveToFitTheDevices) {
  ClusterNodes cluster;
  cluster.kinds = {{.name = "small", .num_devices = 2, .device_memory_bytes = 10},
                   {.name = "large", .num_devices = 2, .device_memory_bytes = 20}};
  const ClusterPlacement pair = {.num_prefill = 1, .num_decode = 1};
  const auto nodes = [&](int64_t prefill, int64_t decode, NodeAffinity affinity) {
    return PlaceCopies(cluster, pair, {.prefill = prefill, .decode = decode}, affinity);
  };
  EXPECT_THAT(nodes(10, 10, NodeAffinity::kLow), SizeIs(2));
  EXPECT_THAT(nodes(10, 15, NodeAffinity::kLow), ElementsAre(ElementsAre(1, 1)));
  EXPECT_THAT(nodes(10, 21, NodeAffinity::kHigh), IsEmpty());
}

}  // namespace
}  // namespace tandem
