// How preempted requests go on by way of the host tier.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/instance_scheduler.h"
#include "tests/scheduler/fake_runner.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::UnixEpoch();

// As many blocks in the host tier as anybody may want, and copies that cost nothing.
InstanceOptions WithHostTier(int num_blocks) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = num_blocks;
  options.num_host_blocks = 32;
  return options;
}

// Adds `count` requests of `num_prompt_tokens` and `max_tokens`.
std::vector<Request> AddRequests(FakeInstance& instance, int count, int num_prompt_tokens,
                                 int max_tokens) {
  std::vector<Request> requests;
  for (int id = 1; id <= count; ++id) {
    requests.push_back(MakeRequest(id, num_prompt_tokens, max_tokens));
    EXPECT_TRUE(instance.scheduler->Add(requests.back(), kStart).ok());
  }
  return requests;
}

void StepUntilPreempted(FakeInstance& instance, RequestId id) {
  while (!instance.Has(id, EventKind::kPreempted)) ASSERT_TRUE(instance.Step());
}

TEST(SwapTest, GoesOnWithTheKvThatWasSwappedOut) {
  FakeInstance instance(WithHostTier(7));
  const std::vector<Request> requests = AddRequests(instance, 2, 8, 12);
  instance.RunUntilIdle();
  const SchedulerStats stats = instance.scheduler->Stats();
  EXPECT_GT(stats.swaps, 0);
  EXPECT_EQ(stats.swaps, stats.preemptions);
  EXPECT_GT(stats.swapped_in_blocks, 0);
  // Both prompts once, and the position that each swapped request goes on with.
  EXPECT_EQ(stats.prompt_tokens, 16 + stats.swaps);
  for (const Request& request : requests) {
    EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
  }
  EXPECT_EQ(instance.NumUnused(), 7);
  EXPECT_EQ(stats.host_blocks.free, 32);
}

TEST(SwapTest, CountsWhatWaitsInTheHostTier) {
  FakeInstance instance(WithHostTier(7));
  AddRequests(instance, 2, 8, 12);
  StepUntilPreempted(instance, RequestId(2));
  const SchedulerStats stats = instance.scheduler->Stats();
  EXPECT_EQ(stats.host_blocks.swapped, stats.swapped_out_blocks);
  EXPECT_EQ(stats.host_blocks.free + stats.host_blocks.swapped, 32);
  EXPECT_EQ(stats.waiting_tokens, 1) << "the rest is computed already";
}

TEST(SwapTest, DoesNotCopyInWhatThePoolStillHolds) {
  FakeInstance instance(WithHostTier(7));
  AddRequests(instance, 2, 8, 12);
  instance.RunUntilIdle();
  const SchedulerStats stats = instance.scheduler->Stats();
  EXPECT_LT(stats.swapped_in_blocks, stats.swapped_out_blocks);
}

TEST(SwapTest, ComputesAgainWhatTheHostTierHasNoRoomFor) {
  InstanceOptions options = WithHostTier(7);
  options.num_host_blocks = 2;
  options.prefix_caching = false;
  FakeInstance instance(options);
  const std::vector<Request> requests = AddRequests(instance, 2, 8, 12);
  instance.RunUntilIdle();
  EXPECT_GT(instance.scheduler->Stats().preemptions, 0);
  EXPECT_EQ(instance.scheduler->Stats().swaps, 0);
  for (const Request& request : requests) {
    EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
  }
}

TEST(SwapTest, ComputesAgainWhereCopiesTakeLonger) {
  InstanceOptions options = WithHostTier(7);
  options.block_copy_time = absl::Seconds(1);
  FakeInstance instance(options);
  AddRequests(instance, 2, 8, 12);
  const Batch batch = instance.scheduler->Schedule(kStart);  // 16 tokens of prompts
  instance.Collect(instance.scheduler->Commit(batch, instance.runner.Run(batch),
                                              kStart + absl::Milliseconds(16)));
  instance.RunUntilIdle();
  EXPECT_GT(instance.scheduler->Stats().preemptions, 0);
  EXPECT_EQ(instance.scheduler->Stats().swaps, 0);
}

TEST(SwapTest, AnAbortedRequestLeavesTheHostTier) {
  FakeInstance instance(WithHostTier(7));
  AddRequests(instance, 2, 8, 12);
  StepUntilPreempted(instance, RequestId(2));
  ASSERT_GT(instance.scheduler->Stats().host_blocks.swapped, 0);
  instance.scheduler->Abort(RequestId(2), 0, kStart);
  EXPECT_EQ(instance.scheduler->Stats().host_blocks.swapped, 0);
  instance.RunUntilIdle();
  EXPECT_EQ(instance.NumUnused(), 7);
}

TEST(SwapTest, SwapsAHalfDonePromptAndSendsEachLogprobOnce) {
  InstanceOptions options = WithHostTier(4);
  options.max_num_seqs = 2;
  options.max_num_batched_tokens = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 3, 12), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.Step());
  Request prompt = MakeRequest(2, 7, 1);
  prompt.sampling.num_prompt_logprobs = 0;
  ASSERT_TRUE(instance.scheduler->Add(prompt, kStart).ok());
  instance.RunUntilIdle();
  EXPECT_GT(instance.scheduler->Stats().swaps, 0);
  EXPECT_EQ(instance.TokensOf(prompt.id), ExpectedOutput(prompt, 100));
  std::vector<int> positions;
  for (const Event& event : instance.EventsOf(prompt.id, EventKind::kPromptLogprobs)) {
    for (const PromptLogprob& logprob : event.prompt_logprobs) {
      positions.push_back(logprob.position);
    }
  }
  EXPECT_THAT(positions, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(SwapTest, OrdersTheCopiesOfAStepSoThatNoneOverwritesAnother) {
  for (const int num_host_blocks : {3, 5, 8}) {
    InstanceOptions options = WithHostTier(10);
    options.num_host_blocks = num_host_blocks;
    options.prefix_caching = false;
    FakeInstance instance(options);
    const std::vector<Request> requests = AddRequests(instance, 5, 6, 14);
    instance.RunUntilIdle();
    EXPECT_GT(instance.scheduler->Stats().swaps, 0);
    for (const Request& request : requests) {
      EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
    }
    EXPECT_EQ(instance.scheduler->Stats().host_blocks.free, num_host_blocks);
  }
}

}  // namespace
}  // namespace tandem
