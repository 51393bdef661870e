#include "tests/scheduler/simulated_cluster.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

// Pools of a few sequences, so that nearly everything has to wait for blocks or is preempted.
ClusterOptions Tiny(uint32_t seed) {
  ClusterOptions options{.seed = seed, .prefill = {}, .decode = {}};
  options.prefill = {.num_blocks = 14,
                     .block_size = 4,
                     .max_model_len = 40,
                     .max_num_seqs = 6,
                     .max_num_batched_tokens = 10,
                     .max_queued_requests = 12,
                     .lease = absl::Milliseconds(400)};
  options.decode = options.prefill;
  options.decode.block_size = 3;
  options.decode.num_blocks = 16;
  return options;
}

TEST(SimulatedClusterTest, LosesAndDoublesNothingWithTinyPools) {
  int num_completed = 0, num_replays = 0;
  int64_t num_preemptions = 0, num_recomputes = 0, num_expired = 0;
  int64_t num_prefill_hits = 0, num_decode_hits = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    SimulatedCluster cluster(Tiny(seed));
    cluster.Run(2000);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    num_completed += cluster.num_completed();
    num_replays += cluster.num_replays();
    num_preemptions += cluster.stats(SimulatedCluster::kDecode).preemptions;
    num_recomputes += cluster.stats(SimulatedCluster::kDecode).recomputes;
    num_expired += cluster.stats(SimulatedCluster::kPrefill).expired_leases;
    num_prefill_hits += cluster.stats(SimulatedCluster::kPrefill).prefix_hit_tokens;
    num_decode_hits += cluster.stats(SimulatedCluster::kDecode).prefix_hit_tokens;
  }
  // What is claimed to be survived has to have happened.
  EXPECT_GT(num_completed, 2000);
  EXPECT_GT(num_replays, 100);
  EXPECT_GT(num_preemptions, 100);
  EXPECT_GT(num_recomputes, 100);
  EXPECT_GT(num_expired, 20);
  EXPECT_GT(num_prefill_hits, 1000);
  EXPECT_GT(num_decode_hits, 1000);
}

TEST(SimulatedClusterTest, LosesAndDoublesNothingWithSeveralBatchesInFlight) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    ClusterOptions options = Tiny(seed);
    options.prefill.depth = 3;
    options.decode.depth = 2;
    SimulatedCluster cluster(options);
    cluster.Run(1000);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST(SimulatedClusterTest, LosesAndDoublesNothingWithAHostTier) {
  int64_t num_swaps = 0, num_recomputed = 0, num_swapped_in = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    ClusterOptions options = Tiny(seed);
    options.prefill.num_host_blocks = 5;  // not for all of them
    options.decode.num_host_blocks = 12;
    options.prefill.prefix_caching = options.decode.prefix_caching = seed % 3 > 0;
    options.decode.depth = 1 + static_cast<int>(seed % 2);
    SimulatedCluster cluster(options);
    cluster.Run(1500);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    for (const int side : {SimulatedCluster::kPrefill, SimulatedCluster::kDecode}) {
      const SchedulerStats stats = cluster.stats(side);
      num_swaps += stats.swaps;
      num_recomputed += stats.preemptions - stats.swaps;
      num_swapped_in += stats.swapped_in_blocks;
    }
  }
  EXPECT_GT(num_swaps, 500);
  EXPECT_GT(num_recomputed, 100);
  EXPECT_GT(num_swapped_in, 500);
}

TEST(SimulatedClusterTest, LosesAndDoublesNothingWithRoomForAll) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    ClusterOptions options = Tiny(seed);
    options.prefill.num_blocks = options.decode.num_blocks = 500;
    options.prefill.max_num_seqs = options.decode.max_num_seqs = 64;
    options.prefill.max_num_batched_tokens = options.decode.max_num_batched_tokens = 128;
    options.prefill.max_queued_requests = options.decode.max_queued_requests = 1000;
    SimulatedCluster cluster(options);
    cluster.Run(1000);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST(SimulatedClusterTest, LosesAndDoublesNothingWithoutPrefixCache) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    ClusterOptions options = Tiny(seed);
    options.prefill.prefix_caching = options.decode.prefix_caching = false;
    SimulatedCluster cluster(options);
    cluster.Run(1000);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_EQ(cluster.stats(SimulatedCluster::kPrefill).prefix_hit_tokens, 0);
    EXPECT_EQ(cluster.stats(SimulatedCluster::kDecode).prefix_hit_tokens, 0);
  }
}

TEST(SimulatedClusterTest, CompletesEveryRequestWhenNothingFails) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    ClusterOptions options = Tiny(seed);
    options.fault_rate = 0;
    options.prefill.lease = absl::Hours(1);
    SimulatedCluster cluster(options);
    cluster.Run(1000);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    EXPECT_EQ(cluster.num_completed(), cluster.num_clients());
    EXPECT_EQ(cluster.stats(SimulatedCluster::kDecode).recomputes, 0);
  }
}

TEST(SimulatedClusterTest, SameInputsGiveTheSameBatchesAndEvents) {
  SimulatedCluster first(Tiny(7)), second(Tiny(7)), other(Tiny(8));
  first.Run(1000);
  second.Run(1000);
  other.Run(1000);
  EXPECT_EQ(first.log(), second.log());
  EXPECT_NE(first.log(), other.log());
}

}  // namespace
}  // namespace tandem
