#include "engine/runner/kv_pool_plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

// 1,024 bytes a token, 16 tokens a block.
KvLayout Layout() {
  KvLayout layout;
  layout.num_layers = 4;
  layout.num_kv_heads = 2;
  layout.head_dim = 32;
  layout.block_size = 16;
  layout.dtype = DType::kF16;
  return layout;
}

constexpr int64_t kBlockBytes = 16 * 1024;

KvPoolRequest Request(int64_t kv_cache_bytes, int max_model_len) {
  KvPoolRequest request;
  request.kv_cache_bytes = kv_cache_bytes;
  request.max_model_len = max_model_len;
  request.context_len = 8192;
  request.memory_bytes = int64_t{1} << 34;
  return request;
}

TEST(PlanKvPool, RoundsDownToWholeBlocks) {
  const auto plan = PlanKvPool(Layout(), Request(100 * kBlockBytes + 5000, 1000));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_blocks, 100);
  EXPECT_EQ(plan->max_model_len, 1000);
}

TEST(PlanKvPool, TakesTheModelsContextWherePoolHoldsIt) {
  const auto plan = PlanKvPool(Layout(), Request(1000 * kBlockBytes, 0));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->max_model_len, 8192);
}

TEST(PlanKvPool, ShortensUnaskedContextToThePool) {
  const auto plan = PlanKvPool(Layout(), Request(10 * kBlockBytes, 0));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->max_model_len, 160);
}

TEST(PlanKvPool, NamesTheBytesThatHoldOneSequence) {
  const auto plan = PlanKvPool(Layout(), Request(10 * kBlockBytes, 161));
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(plan.status().message(), HasSubstr("one sequence of 161 tokens"));
  EXPECT_THAT(plan.status().message(), HasSubstr(std::to_string(11 * kBlockBytes)));
  EXPECT_TRUE(PlanKvPool(Layout(), Request(11 * kBlockBytes, 161)).ok());
}

TEST(PlanKvPool, RefusesAPoolWithoutABlock) {
  const auto plan = PlanKvPool(Layout(), Request(kBlockBytes - 1, 0));
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(plan.status().message(), HasSubstr(std::to_string(kBlockBytes)));
}

TEST(PlanKvPool, RefusesMoreThanTheModelsContext) {
  const auto plan = PlanKvPool(Layout(), Request(0, 8193));
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(plan.status().message(), HasSubstr("8193"));
  EXPECT_THAT(plan.status().message(), HasSubstr("8192"));
}

TEST(PlanKvPool, HoldsFourOfTheLongestSequencesByDefault) {
  const auto plan = PlanKvPool(Layout(), Request(0, 0));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_blocks, 4 * 8192 / 16);
}

TEST(PlanKvPool, HoldsSixteenThousandTokensForShortSequences) {
  const auto plan = PlanKvPool(Layout(), Request(0, 256));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_blocks, 16384 / 16);
}

TEST(PlanKvPool, LeavesThreeQuartersOfMemoryAloneByDefault) {
  KvPoolRequest request = Request(0, 0);
  request.memory_bytes = 4 * 100 * kBlockBytes;
  const auto plan = PlanKvPool(Layout(), request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_blocks, 100);
  EXPECT_EQ(plan->max_model_len, 1600);
}

TEST(PlanKvPool, KeepsBlockIdsWithin32Bits) {
  const auto plan = PlanKvPool(Layout(), Request(int64_t{1} << 62, 0));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->num_blocks, 2147483647);
}

TEST(MachineMemoryBytes, IsPlausible) { EXPECT_GT(MachineMemoryBytes(), int64_t{1} << 28); }

TEST(PlanKvPool, HasNoHostTierUnlessAskedFor) {
  EXPECT_EQ(PlanKvPool(Layout(), Request(100 * kBlockBytes, 0))->num_host_blocks, 0);
  KvPoolRequest request = Request(100 * kBlockBytes, 0);
  request.swap_bytes = 7 * kBlockBytes + 1;
  EXPECT_EQ(PlanKvPool(Layout(), request)->num_host_blocks, 7);
}

TEST(PlanKvPool, HostTierIsAsLargeAsThePoolWithinLimits) {
  KvPoolRequest request = Request(100 * kBlockBytes, 0);
  request.swap_bytes = -1;
  EXPECT_EQ(PlanKvPool(Layout(), request)->num_host_blocks, 100);
  request.memory_bytes = 8 * 30 * kBlockBytes;
  EXPECT_EQ(PlanKvPool(Layout(), request)->num_host_blocks, 30);
  request = Request(int64_t{1} << 40, 0);
  request.swap_bytes = -1;
  request.memory_bytes = int64_t{1} << 40;
  EXPECT_EQ(PlanKvPool(Layout(), request)->num_host_blocks, (int64_t{4} << 30) / kBlockBytes);
}

TEST(PlanKvPool, RefusesAHostTierOfLessThanABlock) {
  KvPoolRequest request = Request(100 * kBlockBytes, 0);
  request.swap_bytes = 4;
  const absl::Status status = PlanKvPool(Layout(), request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 16384"));
}

}  // namespace
}  // namespace tandem
