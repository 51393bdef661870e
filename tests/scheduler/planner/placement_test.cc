#include "scheduler/planner/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "scheduler/planner/simdistserve_scorer.h"
#include "tests/scheduler/sim/compat/distserve_golden.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Counts {
  size_t all = 0;
  size_t runnable = 0;
  bool operator==(const Counts&) const = default;
};

Counts Count(const std::string& model, const std::string& backend,
             const std::vector<Placement>& placements) {
  const DistServeProfile profile = GoldenProfile(backend);
  const auto runs = [&](const Placement& placement) {
    return MakeDistServeSetup(profile, model, placement).ok();
  };
  return {placements.size(), static_cast<size_t>(std::ranges::count_if(placements, runs))};
}

std::vector<Counts> LowAffinityCounts(const std::string& model) {
  std::vector<Counts> counts;
  for (const ClusterShape& cluster : {ClusterShape{1, 4}, {1, 8}, {2, 8}, {4, 8}}) {
    counts.push_back(
        Count(model, "distserve", EnumerateLowAffinity(*FindOptModel(model), cluster)));
  }
  return counts;
}

std::vector<Counts> HighAffinityCounts(const std::string& model) {
  std::vector<Counts> counts;
  for (const ClusterShape& cluster : {ClusterShape{2, 8}, {4, 8}}) {
    counts.push_back(
        Count(model, "distserve", EnumerateHighAffinity(*FindOptModel(model), cluster)));
  }
  return counts;
}

std::vector<Counts> ColocatedCounts(const std::string& model) {
  std::vector<Counts> counts;
  for (int num_gpus : {4, 8, 32}) {
    counts.push_back(
        Count(model, "vllm", EnumerateInstances(*FindOptModel(model), num_gpus, num_gpus)));
  }
  return counts;
}

TEST(PlacementTest, AsManyAreEnumeratedAndRunAsInDistServe) {
  EXPECT_THAT(LowAffinityCounts("facebook/opt-13b"),
              ElementsAre(Counts{9, 9}, Counts{48, 42}, Counts{96, 78}, Counts{133, 103}));
  EXPECT_THAT(LowAffinityCounts("facebook/opt-66b"),
              ElementsAre(Counts{11, 1}, Counts{61, 18}, Counts{122, 36}, Counts{183, 54}));
  EXPECT_THAT(LowAffinityCounts("facebook/opt-175b"),
              ElementsAre(Counts{13, 0}, Counts{88, 0}, Counts{176, 0}, Counts{325, 0}));
  EXPECT_THAT(HighAffinityCounts("facebook/opt-13b"),
              ElementsAre(Counts{208, 114}, Counts{569, 191}));
  EXPECT_THAT(HighAffinityCounts("facebook/opt-66b"),
              ElementsAre(Counts{229, 72}, Counts{613, 160}));
  EXPECT_THAT(HighAffinityCounts("facebook/opt-175b"),
              ElementsAre(Counts{376, 0}, Counts{1132, 0}));
  EXPECT_THAT(ColocatedCounts("facebook/opt-13b"),
              ElementsAre(Counts{6, 6}, Counts{12, 10}, Counts{28, 15}));
  EXPECT_THAT(ColocatedCounts("facebook/opt-66b"),
              ElementsAre(Counts{7, 4}, Counts{13, 8}, Counts{31, 15}));
  EXPECT_THAT(ColocatedCounts("facebook/opt-175b"),
              ElementsAre(Counts{8, 0}, Counts{16, 0}, Counts{44, 0}));
}

TEST(PlacementTest, BothPhasesOfASegmentShareItsNode) {
  const ModelDivisors model = {72, 64};
  const ClusterShape cluster = {4, 8};
  const std::vector<Placement> placements = EnumerateLowAffinity(model, cluster);
  ASSERT_FALSE(placements.empty());
  for (const Placement& placement : placements) {
    SCOPED_TRACE(placement.ToString());
    const std::vector<SegmentLocation> segments = LocateSegments(placement, model, cluster);
    ASSERT_EQ(segments.size(), placement.cross_node_pp);
    int num_layers = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
      const SegmentLocation& segment = segments[i];
      EXPECT_EQ(segment.node, static_cast<int>(i));
      EXPECT_EQ(segment.first_layer, num_layers);
      num_layers += segment.num_layers;
      EXPECT_EQ(segment.num_layers % placement.prefill.pp, 0);
      EXPECT_EQ(segment.num_layers % placement.decode->pp, 0);
      EXPECT_EQ(segment.num_prefill_gpus, placement.prefill.NumGpus());
      EXPECT_EQ(segment.num_decode_gpus, placement.decode->NumGpus());
      EXPECT_GE(segment.first_decode_gpu, segment.first_prefill_gpu + segment.num_prefill_gpus);
      EXPECT_LE(segment.first_decode_gpu + segment.num_decode_gpus, cluster.gpus_per_node);
    }
    EXPECT_EQ(num_layers, model.num_layers);
  }
}

TEST(PlacementTest, WhatFitsNoNodeHasNoLocation) {
  const Placement placement = {2, {4, 1}, Parallelism{2, 1}};
  EXPECT_THAT(LocateSegments(placement, {40, 40}, {1, 8}), IsEmpty());
  EXPECT_THAT(LocateSegments(placement, {40, 40}, {2, 5}), IsEmpty());
  EXPECT_EQ(LocateSegments(placement, {40, 40}, {2, 6}).size(), 2);
}

TEST(PlacementTest, GpusAreCountedOverAllSegments) {
  EXPECT_EQ((Placement{2, {3, 2}, Parallelism{2, 1}}.NumGpus()), 16);
  EXPECT_EQ((Placement{1, {4, 2}, std::nullopt}.NumGpus()), 8);
}

TEST(PlacementTest, WhatIsPrintedReadsBackTheSame) {
  for (const Placement& placement :
       {Placement{1, {2, 1}, Parallelism{1, 1}}, {4, {3, 2}, Parallelism{2, 1}}, {1, {8, 4}, {}}}) {
    EXPECT_EQ(*ParsePlacement(placement.ToString()), placement);
  }
  EXPECT_EQ(*ParsePlacement("2,1,1,2"), (Placement{1, {2, 1}, Parallelism{1, 2}}));
}

TEST(PlacementTest, AMalformedPlacementIsNamed) {
  for (const char* text : {"", "2", "2,1,1", "1,2,3,4,5,6", "2,1,1,0", "a,1", "-1,2", "2,99999"}) {
    const auto placement = ParsePlacement(text);
    EXPECT_EQ(placement.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(placement.status().message()), HasSubstr(text));
  }
}

}  // namespace
}  // namespace tandem
