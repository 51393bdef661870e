// Requests that begin alike, on one instance and across a handoff.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fake_runner.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

InstanceOptions Options() {
  return {.num_blocks = 16, .block_size = 4, .max_model_len = 60, .max_num_batched_tokens = 64};
}

// The prompt of `request`, what was answered, and `num_more` tokens.
Request NextTurn(const Request& request, const std::vector<TokenId>& answer, uint64_t id,
                 int num_more) {
  Request next = MakeRequest(id, num_more, request.sampling.max_tokens);
  next.prompt.insert(next.prompt.begin(), answer.begin(), answer.end());
  next.prompt.insert(next.prompt.begin(), request.prompt.begin(), request.prompt.end());
  return next;
}

// Positions that the last step computed, of its first row.
int NumComputed(const FakeInstance& instance) { return instance.last_batch_rows[0].num_tokens; }

TEST(PrefixReuseTest, ComputesOnlyWhatIsNewOfAChat) {
  FakeInstance instance(Options());
  const Request first = MakeRequest(1, 10, 7);
  ASSERT_TRUE(instance.scheduler->Add(first, absl::UnixEpoch()).ok());
  instance.RunUntilIdle();
  // 16 of 17 positions are stored, the last token's is not: four full blocks.
  EXPECT_EQ(instance.NumBlocks(BlockState::kCached), 4);

  const Request second = NextTurn(first, instance.TokensOf(RequestId(1)), 2, 5);
  ASSERT_TRUE(instance.scheduler->Add(second, absl::UnixEpoch()).ok());
  ASSERT_TRUE(instance.Step());
  EXPECT_EQ(NumComputed(instance), 22 - 16);
  EXPECT_EQ(instance.EventsOf(RequestId(2), EventKind::kBegun)[0].num_cached_tokens, 16);
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(RequestId(2)), ExpectedOutput(second, 60));
  EXPECT_EQ(instance.scheduler->Stats().prefix_queried_tokens, 10 + 22);
  EXPECT_EQ(instance.scheduler->Stats().prefix_hit_tokens, 16);
}

TEST(PrefixReuseTest, SharesBlocksWithARequestThatStillRuns) {
  FakeInstance instance(Options());
  const Request first = MakeRequest(1, 12, 20);
  Request twin = first;
  twin.id = RequestId(2);
  ASSERT_TRUE(instance.scheduler->Add(first, absl::UnixEpoch()).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(twin, absl::UnixEpoch()).ok());
  ASSERT_TRUE(instance.Step());
  // The first has 4 blocks; the twin shares 2 of them. The third is the twin's own, since its last
  // token is computed again.
  EXPECT_EQ(instance.NumBlocks(BlockState::kRunning), 4 + 2);
  instance.scheduler->Abort(RequestId(1), 0, absl::UnixEpoch());
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(RequestId(2)), ExpectedOutput(twin, 60));
  EXPECT_EQ(instance.NumUnused(), 16);
}

TEST(PrefixReuseTest, GivesUpCachedBlocksForNewRequests) {
  FakeInstance instance(Options());
  for (uint64_t id = 1; id <= 8; ++id) {
    const Request request = MakeRequest(id, 21, 8);
    ASSERT_TRUE(instance.scheduler->Add(request, absl::UnixEpoch()).ok());
    instance.RunUntilIdle();
    EXPECT_EQ(instance.TokensOf(RequestId(id)), ExpectedOutput(request, 60));
    EXPECT_EQ(instance.NumUnused(), 16);
  }
  EXPECT_EQ(instance.scheduler->Stats().prefix_hit_tokens, 0);
  EXPECT_EQ(instance.scheduler->Stats().preemptions, 0);
}

TEST(PrefixReuseTest, SharesNothingBetweenSalts) {
  FakeInstance instance(Options());
  for (uint64_t salt : {1, 2, 1}) {
    Request request = MakeRequest(1, 12, 1);
    request.cache_salt = salt;
    ASSERT_TRUE(instance.scheduler->Add(request, absl::UnixEpoch()).ok());
    instance.RunUntilIdle();
  }
  const std::vector<Event> begun = instance.EventsOf(RequestId(1), EventKind::kBegun);
  std::vector<int> num_cached;
  for (const Event& event : begun) num_cached.push_back(event.num_cached_tokens);
  EXPECT_THAT(num_cached, ElementsAre(0, 0, 8));
}

TEST(PrefixReuseTest, ComputesAPromptWhoseLogprobsAreWanted) {
  FakeInstance instance(Options());
  for (uint64_t id : {1, 2}) {
    Request request = MakeRequest(1, 12, 1);
    request.id = RequestId(id);
    request.sampling.num_prompt_logprobs = 0;
    ASSERT_TRUE(instance.scheduler->Add(request, absl::UnixEpoch()).ok());
    instance.RunUntilIdle();
    EXPECT_EQ(NumComputed(instance), 12);
    const std::vector<Event> events = instance.EventsOf(RequestId(id), EventKind::kPromptLogprobs);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].prompt_logprobs.size(), 11u);
  }
}

TEST(PrefixReuseTest, FindsAgainWhatAPreemptedRequestHadComputed) {
  InstanceOptions options = Options();
  options.num_blocks = 8;
  FakeInstance instance(options);
  for (uint64_t id : {1, 2}) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, 9, 16), absl::UnixEpoch()).ok());
  }
  instance.RunUntilIdle();
  EXPECT_GT(instance.scheduler->Stats().preemptions, 0);
  for (uint64_t id : {1, 2}) {
    EXPECT_EQ(instance.TokensOf(RequestId(id)), ExpectedOutput(MakeRequest(id, 9, 16), 60));
  }
}

// Prefills on `p`, copies what `d` lacks and decodes there. Returns the positions copied.
int HandOver(FakeInstance& p, FakeInstance& d, Request request) {
  const absl::Time now = absl::UnixEpoch();
  const RequestId id = request.id;
  EXPECT_TRUE(d.scheduler->Expect(request, now).ok());
  request.hand_off = true;
  EXPECT_TRUE(p.scheduler->Add(request, now).ok());
  p.RunUntilIdle();
  d.scheduler->Begun(id, request.attempt, now);
  d.TakeEvents();
  const Event begun = p.EventsOf(id, EventKind::kBegun)[0];
  const Event reserved = d.EventsOf(id, EventKind::kReserved)[0];
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving) * 4,
            static_cast<int>(reserved.block_table.size()) * 4 - reserved.num_cached_tokens);
  for (int i = reserved.num_cached_tokens; i < reserved.num_tokens; ++i) {
    d.runner.Slot(reserved.block_table, i) = p.runner.Slot(begun.block_table, i);
  }
  d.scheduler->Offer({.id = id, .first_token = p.TokensOf(id)[0]}, now);
  p.scheduler->Release(id, 0, now);
  d.RunUntilIdle();
  return reserved.num_tokens - reserved.num_cached_tokens;
}

TEST(PrefixReuseTest, SecondTurnSendsOnlyWhatTheDecodeWorkerLacks) {
  FakeInstance p(Options()), d(Options());
  const Request first = MakeRequest(1, 10, 7);
  EXPECT_EQ(HandOver(p, d, first), 10);
  std::vector<TokenId> answer = p.TokensOf(RequestId(1));
  for (TokenId token : d.TokensOf(RequestId(1))) answer.push_back(token);
  EXPECT_EQ(answer, ExpectedOutput(first, 60));

  // P knows the prompt's two full blocks, D those of the answer too.
  const Request second = NextTurn(first, answer, 2, 5);
  EXPECT_EQ(HandOver(p, d, second), 22 - 16);
  EXPECT_EQ(p.EventsOf(RequestId(2), EventKind::kBegun)[0].num_cached_tokens, 8);
  std::vector<TokenId> second_answer = p.TokensOf(RequestId(2));
  for (TokenId token : d.TokensOf(RequestId(2))) second_answer.push_back(token);
  EXPECT_EQ(second_answer, ExpectedOutput(second, 60));
  EXPECT_EQ(p.NumUnused(), 16);
  EXPECT_EQ(d.NumUnused(), 16);
}

TEST(PrefixReuseTest, ATransferGivenUpQuarantinesOnlyWhatWasWritten) {
  FakeInstance p(Options()), d(Options());
  const Request first = MakeRequest(1, 12, 3);
  HandOver(p, d, first);
  Request second = first;
  second.id = RequestId(2);
  second.prompt.push_back(1);
  ASSERT_TRUE(d.scheduler->Expect(second, absl::UnixEpoch()).ok());
  d.scheduler->Begun(RequestId(2), 0, absl::UnixEpoch());
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 1);
  EXPECT_EQ(d.NumBlocks(BlockState::kRunning), 3);
  d.scheduler->Recompute(RequestId(2), 0, absl::UnixEpoch());
  EXPECT_EQ(d.NumBlocks(BlockState::kQuarantined), 1);
  EXPECT_EQ(d.NumBlocks(BlockState::kRunning), 0);
  d.RunUntilIdle();
  EXPECT_EQ(d.TokensOf(RequestId(2)), ExpectedOutput(second, 60));
  d.scheduler->Fence(RequestId(2), 0, absl::UnixEpoch());
  EXPECT_EQ(d.NumUnused(), 16);
}

}  // namespace
}  // namespace tandem
