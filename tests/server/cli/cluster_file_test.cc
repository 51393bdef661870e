#include "server/cli/cluster_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;

ClusterNodes Defaults() {
  ClusterNodes cluster;
  cluster.within_bytes_per_second = cluster.between_bytes_per_second = 5;
  cluster.latency = absl::Milliseconds(7);
  return cluster;
}

std::string ErrorOf(const std::string& text) {
  const absl::Status status = ParseClusterFile(text, "c.yaml", Defaults()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(status.message());
}

TEST(ClusterFileTest, ReadsNodesAndLinks) {
  const auto cluster = ParseClusterFile(R"(
nodes:
  - {name: epyc, count: 2, devices: 32, memory: 2GiB, cores_per_device: 4}
  - {devices: 1, cores-per-device: 4}
links: {within: 10GB, between: 3GB, latency: 200us}
)",
                                        "c.yaml", Defaults());
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  ASSERT_EQ(cluster->kinds.size(), 2);
  EXPECT_EQ(cluster->kinds[0].name, "epyc");
  EXPECT_EQ(cluster->kinds[0].count, 2);
  EXPECT_EQ(cluster->kinds[0].num_devices, 32);
  EXPECT_EQ(cluster->kinds[0].device_memory_bytes, int64_t{2} << 30);
  EXPECT_EQ(cluster->kinds[1].name, "node1");
  EXPECT_EQ(cluster->kinds[1].device_memory_bytes, 0);
  EXPECT_EQ(cluster->cores_per_device, 4);
  EXPECT_EQ(cluster->within_bytes_per_second, 1e10);
  EXPECT_EQ(cluster->between_bytes_per_second, 3e9);
  EXPECT_EQ(cluster->latency, absl::Microseconds(200));
}

TEST(ClusterFileTest, WhatItLeavesOutIsAsTheOptionsSay) {
  const auto cluster = ParseClusterFile("nodes: [{devices: 2}]", "c.yaml", Defaults());
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ(cluster->within_bytes_per_second, 5);
  EXPECT_EQ(cluster->between_bytes_per_second, 5);
  EXPECT_EQ(cluster->latency, absl::Milliseconds(7));
  EXPECT_EQ(cluster->cores_per_device, 0);
}

TEST(ClusterFileTest, NamesLineAndKeyOfWhatMakesNoSense) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("c.yaml:1: the file: expected a mapping"));
  EXPECT_THAT(ErrorOf("nodes: [\n"), HasSubstr("c.yaml:2: "));
  EXPECT_THAT(ErrorOf("links: {}"), HasSubstr("nodes: expected a list of nodes"));
  EXPECT_THAT(ErrorOf("nodes: []"), HasSubstr("nodes: expected a list of nodes"));
  EXPECT_THAT(ErrorOf("nodes:\n- name: a"), HasSubstr("c.yaml:2: nodes[0].devices: expected how"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\n- devices: 2.5"),
              HasSubstr("c.yaml:3: nodes[1].devices: expected a whole number"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 0"), HasSubstr("nodes[0].devices"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\n  memory: much"),
              HasSubstr("c.yaml:3: nodes[0].memory: expected a whole number"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\n  gpus: 2"),
              HasSubstr("c.yaml:3: nodes[0].gpus: expected one of name, count, devices"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: [1]"), HasSubstr("expected a single value"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\nlinks:\n  between: fast"),
              HasSubstr("c.yaml:4: links.between: expected a number of bytes"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\nlinks:\n  within: 0"), HasSubstr("more than 0"));
  EXPECT_THAT(ErrorOf("nodes:\n- devices: 1\nlink: {}"), HasSubstr("one of nodes, links"));
  EXPECT_THAT(ErrorOf("nodes:\n- {devices: 1, cores-per-device: 1}\n- devices: 1"),
              HasSubstr("c.yaml:3: nodes[1].cores-per-device: expected the same"));
}

TEST(ClusterFileTest, WithoutAFileItIsTheOptionsDevicesOrThisMachine) {
  Config config;
  config.set_nodes(2);
  config.set_gpus_per_node(4);
  config.set_link_bandwidth(1000);
  config.set_network_delay(0.001);
  const auto given = ReadCluster(config);
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(given->NumDevices(), 8);
  EXPECT_EQ(given->cores_per_device, 0);
  EXPECT_EQ(given->between_bytes_per_second, 1000);
  EXPECT_EQ(given->latency, absl::Milliseconds(1));
  config.set_gpus_per_node(0);
  const auto machine = ReadCluster(config);
  ASSERT_TRUE(machine.ok()) << machine.status();
  EXPECT_EQ(machine->cores_per_device, 1);
  EXPECT_GE(machine->MaxDevicesPerNode(), 1);
  EXPECT_GT(machine->kinds[0].device_memory_bytes, 1 << 20);
  config.set_cluster("/nowhere.yaml");
  EXPECT_EQ(ReadCluster(config).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem
