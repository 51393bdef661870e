// Both sides of a KV handoff, each on an InstanceScheduler of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/instance_scheduler.h"
#include "tests/scheduler/fake_runner.h"

namespace tandem {
namespace {

const absl::Time kStart = absl::UnixEpoch();

InstanceOptions HandoffOptions() {
  return {.num_blocks = 16,
          .block_size = 4,
          .max_model_len = 60,
          .max_num_seqs = 8,
          .max_num_batched_tokens = 16,
          .lease = absl::Seconds(10)};
}

Request HandOff(uint64_t id, int num_prompt_tokens, int max_tokens) {
  Request request = MakeRequest(id, num_prompt_tokens, max_tokens);
  request.hand_off = true;
  return request;
}

// Copies what the KV stream would carry: positions [begin, end) of a request that P has begun and
// for which D has reserved.
void Transfer(FakeInstance& from, FakeInstance& to, RequestId id, int begin, int end) {
  const Event begun = from.EventsOf(id, EventKind::kBegun).back();
  const Event reserved = to.EventsOf(id, EventKind::kReserved).back();
  for (int i = begin; i < end; ++i) {
    to.runner.Slot(reserved.block_table, i) = from.runner.Slot(begun.block_table, i);
  }
}

TEST(HandoffTest, BeginsWithBlocksForTheWholePrompt) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 30, 8), kStart).ok());
  const Batch batch = p.scheduler->Schedule(kStart);
  p.TakeEvents();
  const Event begun = p.EventsOf(RequestId(1), EventKind::kBegun).at(0);
  EXPECT_EQ(begun.num_tokens, 30);
  EXPECT_EQ(begun.block_table.size(), 8u);
  EXPECT_EQ(batch.rows.at(0).num_tokens, 16) << "only the first chunk is computed yet";
  EXPECT_EQ(p.NumBlocks(BlockState::kRunning), 8);
}

TEST(HandoffTest, LeasesBlocksFromFirstTokenToRelease) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 6, 8), kStart).ok());
  p.RunUntilIdle();
  EXPECT_EQ(p.TokensOf(RequestId(1)).size(), 1u);
  EXPECT_EQ(p.NumBlocks(BlockState::kLeasedOut), 2);
  EXPECT_EQ(p.scheduler->Stats().leased_requests, 1);
  p.scheduler->Release(RequestId(1), 0, kStart);
  p.TakeEvents();
  EXPECT_TRUE(p.Has(RequestId(1), EventKind::kHandedOff));
  EXPECT_EQ(p.NumUnused(), 16);
}

TEST(HandoffTest, DropsBlocksWhenTheLeaseExpires) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 6, 8), kStart).ok());
  p.RunUntilIdle(kStart);
  EXPECT_EQ(p.scheduler->NextTick(), kStart + absl::Seconds(10));
  p.scheduler->Tick(kStart + absl::Seconds(9));
  EXPECT_EQ(p.NumBlocks(BlockState::kLeasedOut), 2);
  p.scheduler->Tick(kStart + absl::Seconds(10));
  p.TakeEvents();
  EXPECT_TRUE(p.Has(RequestId(1), EventKind::kLeaseExpired));
  EXPECT_EQ(p.NumUnused(), 16);
  EXPECT_EQ(p.scheduler->Stats().expired_leases, 1);
  p.scheduler->Release(RequestId(1), 0, kStart);  // too late, ignored
  EXPECT_FALSE(p.Has(RequestId(1), EventKind::kHandedOff));
}

TEST(HandoffTest, ALeaseEndsWhenItsPullerSays) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 6, 8), kStart).ok());
  // The puller is lost while the prompt is being computed.
  p.scheduler->SetLease(RequestId(1), 0, kStart + absl::Seconds(1));
  p.RunUntilIdle(kStart);
  EXPECT_EQ(p.scheduler->NextTick(), kStart + absl::Seconds(1));
  // It comes back and renews.
  p.scheduler->SetLease(RequestId(1), 0, kStart + absl::Seconds(15));
  p.scheduler->SetLease(RequestId(1), /*attempt=*/1, kStart);
  p.scheduler->SetLease(RequestId(2), 0, kStart);
  p.scheduler->Tick(kStart + absl::Seconds(14));
  EXPECT_EQ(p.NumBlocks(BlockState::kLeasedOut), 2);
  p.scheduler->Tick(kStart + absl::Seconds(15));
  EXPECT_EQ(p.NumUnused(), 16);
  EXPECT_EQ(p.scheduler->Stats().expired_leases, 1);
}

TEST(HandoffTest, AbortEndsALease) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 6, 8), kStart).ok());
  p.RunUntilIdle();
  p.scheduler->Abort(RequestId(1), 0, kStart);
  EXPECT_EQ(p.NumUnused(), 16);
  EXPECT_EQ(p.scheduler->NextTick(), absl::InfiniteFuture());
}

TEST(HandoffTest, FirstTokenThatEndsTheRequestNeedsNoLease) {
  FakeInstance p(HandoffOptions());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 6, 1), kStart).ok());
  Request stopping = HandOff(2, 6, 8);
  stopping.sampling.stop_token_ids = {ExpectedOutput(stopping, 60)[0]};
  ASSERT_TRUE(p.scheduler->Add(stopping, kStart).ok());
  p.RunUntilIdle();
  EXPECT_EQ(p.EventsOf(RequestId(1), EventKind::kFinished).at(0).reason, FinishReason::kLength);
  EXPECT_EQ(p.EventsOf(RequestId(2), EventKind::kFinished).at(0).reason, FinishReason::kStop);
  EXPECT_EQ(p.NumUnused(), 16);
}

TEST(HandoffTest, HoldsNothingUntilPrefillHasBegun) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(1, 6, 8), kStart).ok());
  EXPECT_FALSE(d.Step());
  EXPECT_EQ(d.NumUnused(), 16);
  d.scheduler->Begun(RequestId(1), 0, kStart);
  d.TakeEvents();
  const Event reserved = d.EventsOf(RequestId(1), EventKind::kReserved).at(0);
  EXPECT_EQ(reserved.num_tokens, 6);
  EXPECT_EQ(reserved.block_table.size(), 3u) << "the prompt and one block";
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 3);
}

TEST(HandoffTest, ReservesNoMoreThanTheRequestCanUse) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(1, 6, 3), kStart).ok());  // 8 positions at most
  d.scheduler->Begun(RequestId(1), 0, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 2);
}

TEST(HandoffTest, ReservesInOrderAsBlocksBecomeFree) {
  FakeInstance d(HandoffOptions());
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(d.scheduler->Expect(MakeRequest(id, id == 3 ? 4 : 32, 8), kStart).ok());
  }
  for (uint64_t id = 3; id >= 1; --id) d.scheduler->Begun(RequestId(id), 0, kStart);
  d.TakeEvents();
  // 3 was alone when it had begun; 2 needs 9 of the 14 blocks left; 1 has to wait.
  EXPECT_TRUE(d.Has(RequestId(3), EventKind::kReserved));
  EXPECT_TRUE(d.Has(RequestId(2), EventKind::kReserved));
  EXPECT_FALSE(d.Has(RequestId(1), EventKind::kReserved));
  d.scheduler->Abort(RequestId(2), 0, kStart);
  d.TakeEvents();
  EXPECT_FALSE(d.Has(RequestId(1), EventKind::kReserved)) << "its blocks are quarantined";
  d.scheduler->Fence(RequestId(2), 0, kStart);
  d.TakeEvents();
  EXPECT_TRUE(d.Has(RequestId(1), EventKind::kReserved));
}

TEST(HandoffTest, AReceiveDoesNotOvertakeAnOlderPromptThatWaitsForBlocks) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Add(MakeRequest(1, 36, 4), kStart).ok());
  ASSERT_TRUE(d.Step());
  ASSERT_TRUE(d.scheduler->Add(MakeRequest(2, 36, 4), kStart).ok());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(3, 4, 4), kStart).ok());
  d.scheduler->Begun(RequestId(3), 0, kStart);
  while (!d.Has(RequestId(1), EventKind::kFinished)) {
    EXPECT_FALSE(d.Has(RequestId(3), EventKind::kReserved));
    ASSERT_TRUE(d.Step());
  }
  d.RunUntilIdle();
  EXPECT_TRUE(d.Has(RequestId(3), EventKind::kReserved));
}

TEST(HandoffTest, APromptDoesNotOvertakeAnOlderReceiveThatWaitsForBlocks) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Add(MakeRequest(1, 36, 4), kStart).ok());
  ASSERT_TRUE(d.Step());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(2, 36, 4), kStart).ok());
  d.scheduler->Begun(RequestId(2), 0, kStart);
  ASSERT_TRUE(d.scheduler->Add(MakeRequest(3, 4, 4), kStart).ok());
  while (!d.Has(RequestId(1), EventKind::kFinished)) {
    EXPECT_FALSE(d.Has(RequestId(3), EventKind::kBegun));
    ASSERT_TRUE(d.Step());
  }
  d.RunUntilIdle();
  EXPECT_TRUE(d.Has(RequestId(2), EventKind::kReserved));
  EXPECT_TRUE(d.Has(RequestId(3), EventKind::kFinished)) << "there is room for both";
}

TEST(HandoffTest, DecodesTheSameTokensAsOneInstance) {
  FakeInstance p(HandoffOptions()), d(HandoffOptions());
  const Request request = MakeRequest(1, 30, 12);
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  ASSERT_TRUE(p.scheduler->Add(HandOff(1, 30, 12), kStart).ok());
  ASSERT_TRUE(p.Step());
  d.scheduler->Begun(request.id, 0, kStart);
  d.TakeEvents();
  Transfer(p, d, request.id, 0, 16);  // while P still computes
  p.RunUntilIdle();
  Transfer(p, d, request.id, 16, 30);
  d.scheduler->Offer({.id = request.id, .first_token = p.TokensOf(request.id).at(0)}, kStart);
  p.scheduler->Release(request.id, 0, kStart);
  ASSERT_TRUE(d.Step());
  EXPECT_EQ(d.last_batch_rows.at(0).begin, 30);
  EXPECT_TRUE(d.last_batch_rows.at(0).sample);
  d.RunUntilIdle();
  std::vector<TokenId> tokens = p.TokensOf(request.id);
  for (TokenId token : d.TokensOf(request.id)) tokens.push_back(token);
  EXPECT_EQ(tokens, ExpectedOutput(request, 60));
  EXPECT_EQ(d.EventsOf(request.id, EventKind::kToken).at(0).index, 1);
  EXPECT_EQ(d.NumUnused(), 16);
  EXPECT_EQ(p.NumUnused(), 16);
}

TEST(HandoffTest, EndsAtTheOfferWhenTheFirstTokenWasTheLast) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(1, 6, 1), kStart).ok());
  d.scheduler->Begun(RequestId(1), 0, kStart);
  d.scheduler->Offer({.id = RequestId(1), .first_token = 5}, kStart);
  d.TakeEvents();
  EXPECT_EQ(d.EventsOf(RequestId(1), EventKind::kFinished).at(0).reason, FinishReason::kLength);
  EXPECT_FALSE(d.Has(RequestId(1), EventKind::kToken));
  EXPECT_EQ(d.NumUnused(), 16);
}

TEST(HandoffTest, LeavesPromptLogprobsToThePrefillWorker) {
  InstanceOptions options = HandoffOptions();
  options.num_blocks = 7;
  FakeInstance p(HandoffOptions()), d(options);
  ASSERT_TRUE(d.scheduler->Add(MakeRequest(1, 8, 12), kStart).ok());
  ASSERT_TRUE(d.Step());
  Request request = MakeRequest(2, 8, 12);
  request.sampling.num_prompt_logprobs = 0;
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  request.hand_off = true;
  ASSERT_TRUE(p.scheduler->Add(request, kStart).ok());
  p.RunUntilIdle();
  EXPECT_TRUE(p.Has(request.id, EventKind::kPromptLogprobs));
  d.scheduler->Begun(request.id, 0, kStart);
  d.TakeEvents();
  Transfer(p, d, request.id, 0, 8);
  d.scheduler->Offer({.id = request.id, .first_token = p.TokensOf(request.id).at(0)}, kStart);
  d.RunUntilIdle();
  EXPECT_TRUE(d.Has(request.id, EventKind::kPreempted)) << "so its prompt was computed here";
  EXPECT_FALSE(d.Has(request.id, EventKind::kPromptLogprobs));
  EXPECT_EQ(d.TokensOf(request.id).size(), 11u);
}

TEST(HandoffTest, AbortWhileReceivingQuarantinesUntilTheFence) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(1, 6, 8), kStart).ok());
  d.scheduler->Begun(RequestId(1), 0, kStart);
  d.scheduler->Abort(RequestId(1), 0, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kQuarantined), 3);
  EXPECT_EQ(d.scheduler->Expect(MakeRequest(1, 6, 8), kStart).code(),
            absl::StatusCode::kAlreadyExists);
  d.scheduler->Fence(RequestId(1), 1, kStart);  // another attempt's
  EXPECT_EQ(d.NumBlocks(BlockState::kQuarantined), 3);
  d.scheduler->Fence(RequestId(1), 0, kStart);
  EXPECT_EQ(d.NumUnused(), 16);
}

TEST(HandoffTest, RecomputesHereWhenTheTransferFails) {
  FakeInstance d(HandoffOptions());
  const Request request = MakeRequest(1, 6, 8);
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  d.scheduler->Begun(request.id, 0, kStart);
  d.scheduler->Recompute(request.id, 0, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kQuarantined), 3);
  d.RunUntilIdle();
  EXPECT_EQ(d.TokensOf(request.id), ExpectedOutput(request, 60));
  EXPECT_EQ(d.scheduler->Stats().recomputes, 1);
  d.scheduler->Fence(request.id, 0, kStart);
  EXPECT_EQ(d.NumUnused(), 16);
}

TEST(HandoffTest, RecomputesARequestThatNeverBegan) {
  FakeInstance d(HandoffOptions());
  const Request request = HandOff(1, 6, 8);  // the flag is the prefill worker's business
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  d.scheduler->Recompute(request.id, 0, kStart);
  d.RunUntilIdle();
  EXPECT_EQ(d.TokensOf(request.id), ExpectedOutput(request, 60));
}

TEST(HandoffTest, FailsAnAnnouncedRequestThatDoesNotBeginByItsDeadline) {
  FakeInstance d(HandoffOptions());
  Request request = MakeRequest(1, 6, 8);
  request.deadline = kStart + absl::Seconds(1);
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  d.scheduler->Tick(request.deadline);
  d.TakeEvents();
  EXPECT_EQ(d.EventsOf(request.id, EventKind::kFailed).at(0).status.code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(HandoffTest, IgnoresNewsOfAnotherAttempt) {
  FakeInstance d(HandoffOptions());
  Request request = MakeRequest(1, 6, 8);
  request.attempt = 2;
  ASSERT_TRUE(d.scheduler->Expect(request, kStart).ok());
  d.scheduler->Begun(request.id, 1, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 0);
  d.scheduler->Begun(request.id, 2, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 3);
  d.scheduler->Offer({.id = request.id, .attempt = 1, .first_token = 5}, kStart);
  d.scheduler->Recompute(request.id, 1, kStart);
  d.scheduler->Abort(request.id, 1, kStart);
  EXPECT_EQ(d.NumBlocks(BlockState::kReceiving), 3);
}

TEST(HandoffTest, CallsOutOfPlaceChangeNothing) {
  FakeInstance d(HandoffOptions());
  ASSERT_TRUE(d.scheduler->Expect(MakeRequest(1, 6, 8), kStart).ok());
  d.scheduler->Offer({.id = RequestId(1), .first_token = 5}, kStart);  // nothing is reserved
  d.scheduler->Release(RequestId(1), 0, kStart);
  d.scheduler->Begun(RequestId(9), 0, kStart);
  d.scheduler->Fence(RequestId(9), 0, kStart);
  d.scheduler->Abort(RequestId(9), 0, kStart);
  d.TakeEvents();
  EXPECT_TRUE(d.events.empty());
  EXPECT_EQ(d.scheduler->Stats().expected_requests, 1);
}

}  // namespace
}  // namespace tandem
