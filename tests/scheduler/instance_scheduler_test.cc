#include "scheduler/instance_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fake_runner.h"

namespace tandem {

// Reaches into the ledger, as only a bug could.
class InstanceSchedulerPeer {
 public:
  static BlockManager& blocks(InstanceScheduler& scheduler) { return scheduler.blocks_; }
};

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kStart = absl::UnixEpoch();

InstanceOptions SmallOptions() {
  return {.num_blocks = 32,
          .block_size = 4,
          .max_model_len = 100,
          .max_num_seqs = 8,
          .max_num_batched_tokens = 16};
}

std::vector<uint64_t> RowIds(const std::vector<BatchRow>& rows) {
  std::vector<uint64_t> ids;
  for (const BatchRow& row : rows) ids.push_back(row.request.value());
  return ids;
}

TEST(InstanceSchedulerTest, CreateNamesTheOptionThatMakesNoSense) {
  const auto message = [](InstanceOptions options) {
    return std::string(InstanceScheduler::Create(options).status().message());
  };
  InstanceOptions options = SmallOptions();
  options.num_blocks = 0;
  EXPECT_EQ(message(options), "num_blocks must be at least 1, got 0");
  options = SmallOptions();
  options.max_num_batched_tokens = 7;
  EXPECT_EQ(message(options), "max_num_batched_tokens must be at least 8, got 7");
  options = SmallOptions();
  options.lease = absl::ZeroDuration();
  EXPECT_EQ(message(options), "lease must be above 0, got 0");
}

TEST(InstanceSchedulerTest, PrefillsThenDecodesUntilMaxTokens) {
  FakeInstance instance(SmallOptions());
  const Request request = MakeRequest(1, 6, 5);
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
  const std::vector<Event> finished = instance.EventsOf(request.id, EventKind::kFinished);
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0].reason, FinishReason::kLength);
  EXPECT_EQ(instance.NumUnused(), 32);
  EXPECT_EQ(instance.scheduler->Stats().steps, 5);
  EXPECT_EQ(instance.scheduler->Stats().prompt_tokens, 6);
  EXPECT_EQ(instance.scheduler->Stats().generated_tokens, 5);
}

TEST(InstanceSchedulerTest, NumbersTokensFromZero) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 6, 3), kStart).ok());
  instance.RunUntilIdle();
  std::vector<int> indexes;
  for (const Event& event : instance.EventsOf(RequestId(1), EventKind::kToken)) {
    indexes.push_back(event.index);
  }
  EXPECT_THAT(indexes, ElementsAre(0, 1, 2));
}

TEST(InstanceSchedulerTest, StopsAtStopTokenAndNamesIt) {
  Request request = MakeRequest(1, 6, 20);
  const TokenId third = ExpectedOutput(request, 100)[2];
  request.sampling.stop_token_ids = {third};
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
  const Event finished = instance.EventsOf(request.id, EventKind::kFinished).at(0);
  EXPECT_EQ(finished.reason, FinishReason::kStop);
  EXPECT_EQ(finished.stop_token, third);
}

TEST(InstanceSchedulerTest, DoesNotStopBeforeMinTokens) {
  Request request = MakeRequest(1, 6, 8);
  const std::vector<TokenId> all = ExpectedOutput(request, 100);
  request.sampling.stop_token_ids = {all[1]};
  request.sampling.min_tokens = 3;
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  instance.RunUntilIdle();
  EXPECT_GE(instance.TokensOf(request.id).size(), 3u);
  EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
}

TEST(InstanceSchedulerTest, EndsWithLengthAtMaxModelLen) {
  InstanceOptions options = SmallOptions();
  options.max_model_len = 10;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 6, 2147483647), kStart).ok());
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(RequestId(1)).size(), 4u);
  EXPECT_EQ(instance.EventsOf(RequestId(1), EventKind::kFinished).at(0).reason,
            FinishReason::kLength);
}

TEST(InstanceSchedulerTest, EndsWithLengthWhereThePoolEnds) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 2;  // 8 positions; the ninth token needs no KV
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 8, 50), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 3, 50), kStart).ok());
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(RequestId(1)).size(), 1u);
  EXPECT_EQ(instance.TokensOf(RequestId(2)).size(), 6u);
  EXPECT_EQ(instance.scheduler->Stats().finished_requests, 2);
}

TEST(InstanceSchedulerTest, CutsPromptsIntoChunksOfTheBudget) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 40, 1), kStart).ok());
  std::vector<int> chunks;
  while (instance.Step()) chunks.push_back(instance.last_batch_rows.at(0).num_tokens);
  EXPECT_THAT(chunks, ElementsAre(16, 16, 8));
}

TEST(InstanceSchedulerTest, FillsDecodeStepsWithPromptChunks) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 4, 20), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 40, 2), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_EQ(instance.last_batch_rows.size(), 2u);
  EXPECT_EQ(instance.last_batch_rows[0].request, RequestId(1));
  EXPECT_EQ(instance.last_batch_rows[0].num_tokens, 1);
  EXPECT_EQ(instance.last_batch_rows[1].num_tokens, 15);
  EXPECT_FALSE(instance.last_batch_rows[1].sample);
}

TEST(InstanceSchedulerTest, StartsPromptsByPriorityThenArrival) {
  FakeInstance instance(SmallOptions());
  for (uint64_t id = 1; id <= 4; ++id) {
    Request request = MakeRequest(id, 16, 1);
    request.priority = id == 3 ? -1 : id == 1 ? 1 : 0;
    ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  }
  std::vector<uint64_t> order;
  while (instance.Step()) order.push_back(instance.last_batch_rows.at(0).request.value());
  EXPECT_THAT(order, ElementsAre(3, 2, 4, 1));
}

TEST(InstanceSchedulerTest, HigherClassOvertakesAHalfDonePrompt) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 40, 1), kStart).ok());
  ASSERT_TRUE(instance.Step());
  Request urgent = MakeRequest(2, 10, 1);
  urgent.priority = -1;
  ASSERT_TRUE(instance.scheduler->Add(urgent, kStart).ok());
  ASSERT_TRUE(instance.Step());
  EXPECT_THAT(RowIds(instance.last_batch_rows), ElementsAre(2, 1));
  EXPECT_EQ(instance.last_batch_rows[1].num_tokens, 6);
}

TEST(InstanceSchedulerTest, NobodyOvertakesAPromptThatWaitsForBlocks) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 6;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 8, 4), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 20, 1), kStart).ok());  // 5 blocks
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(3, 2, 1), kStart).ok());   // would fit now
  ASSERT_TRUE(instance.Step());
  EXPECT_THAT(RowIds(instance.last_batch_rows), ElementsAre(1));
  instance.RunUntilIdle();
  EXPECT_LT(std::find_if(instance.events.begin(), instance.events.end(),
                         [](const Event& e) { return e.id == RequestId(2); }),
            std::find_if(instance.events.begin(), instance.events.end(),
                         [](const Event& e) { return e.id == RequestId(3); }));
}

TEST(InstanceSchedulerTest, ComputesAtMostMaxNumSeqsAtOnce) {
  InstanceOptions options = SmallOptions();
  options.max_num_seqs = 2;
  FakeInstance instance(options);
  for (uint64_t id = 1; id <= 5; ++id) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, 2, 3), kStart).ok());
  }
  while (instance.Step()) EXPECT_LE(instance.last_batch_rows.size(), 2u);
  EXPECT_EQ(instance.scheduler->Stats().finished_requests, 5);
}

TEST(InstanceSchedulerTest, PreemptsTheLastOfTheLowestClassAndLosesNoToken) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 9;
  FakeInstance instance(options);
  std::vector<Request> requests;
  for (uint64_t id = 1; id <= 3; ++id) {
    requests.push_back(MakeRequest(id, 4, 16));
    requests.back().priority = id == 2 ? 1 : 0;
    ASSERT_TRUE(instance.scheduler->Add(requests.back(), kStart).ok());
  }
  while (!instance.Has(RequestId(2), EventKind::kPreempted)) {
    ASSERT_TRUE(instance.Step());
    ASSERT_FALSE(instance.Has(RequestId(3), EventKind::kPreempted)) << "2 is of a lower class";
  }
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(RequestId(1), EventKind::kPreempted));
  for (const Request& request : requests) {
    EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
    EXPECT_EQ(instance.EventsOf(request.id, EventKind::kBegun).size(), 1u);
  }
  EXPECT_EQ(instance.NumUnused(), 9);
}

TEST(InstanceSchedulerTest, DoesNotPreemptAPromptBeingHandedOff) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 4;
  options.max_num_seqs = 2;
  options.max_num_batched_tokens = 2;
  FakeInstance instance(options);
  const Request local = MakeRequest(1, 3, 12);
  ASSERT_TRUE(instance.scheduler->Add(local, kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.Step());
  Request handed = MakeRequest(2, 8, 12);  // the other two blocks, one token a step
  handed.hand_off = true;
  ASSERT_TRUE(instance.scheduler->Add(handed, kStart).ok());
  while (!instance.Has(local.id, EventKind::kPreempted)) {
    ASSERT_TRUE(instance.Step());
    ASSERT_FALSE(instance.Has(handed.id, EventKind::kToken)) << "was not in the way at all";
  }
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(handed.id, EventKind::kPreempted));
  EXPECT_EQ(instance.NumBlocks(BlockState::kLeasedOut), 2);
  instance.scheduler->Release(handed.id, 0, kStart);
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(local.id), ExpectedOutput(local, 100));
}

TEST(InstanceSchedulerTest, PreemptsAYoungerPromptBeforeAnOlderDecode) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 4;
  options.max_num_seqs = 2;
  options.max_num_batched_tokens = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 3, 12), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 7, 1), kStart).ok());
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(RequestId(1), EventKind::kPreempted));
  EXPECT_TRUE(instance.Has(RequestId(2), EventKind::kPreempted));
  EXPECT_EQ(instance.TokensOf(RequestId(2)), ExpectedOutput(MakeRequest(2, 7, 1), 100));
}

TEST(InstanceSchedulerTest, RefusesWhatCanNeverRun) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 4;
  FakeInstance instance(options);
  absl::Status status = instance.scheduler->Add(MakeRequest(1, 100, 1), kStart);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("prompt has 100 tokens"));
  EXPECT_EQ(instance.scheduler->Add(MakeRequest(1, 0, 1), kStart).code(),
            absl::StatusCode::kInvalidArgument);
  status = instance.scheduler->Add(MakeRequest(1, 17, 1), kStart);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "prompt of 17 tokens needs 5 KV blocks, the pool has 4");
  EXPECT_THAT(instance.scheduler->TakeEvents(), IsEmpty());
  EXPECT_EQ(instance.scheduler->Stats().refused_requests, 3);
}

TEST(InstanceSchedulerTest, RefusesMoreThanTheQueueHolds) {
  InstanceOptions options = SmallOptions();
  options.max_queued_requests = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 4, 1), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Expect(MakeRequest(2, 4, 1), kStart).ok());
  const absl::Status status = instance.scheduler->Add(MakeRequest(3, 4, 1), kStart);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "queue is full: max_queued_requests is 2");
  instance.RunUntilIdle();
  EXPECT_TRUE(instance.scheduler->Add(MakeRequest(3, 4, 1), kStart).ok());
}

TEST(InstanceSchedulerTest, LaterAttemptReplacesTheEarlierOne) {
  FakeInstance instance(SmallOptions());
  Request request = MakeRequest(1, 6, 4);
  request.attempt = 1;
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  ASSERT_TRUE(instance.Step());
  EXPECT_EQ(instance.scheduler->Add(request, kStart).code(), absl::StatusCode::kAlreadyExists);
  request.attempt = 2;
  request.generated = instance.TokensOf(request.id);
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  instance.scheduler->Abort(request.id, 1, kStart);  // stale
  instance.RunUntilIdle();
  const std::vector<Event> finished = instance.EventsOf(request.id, EventKind::kFinished);
  ASSERT_EQ(finished.size(), 2u);
  EXPECT_EQ(finished[0].attempt, 1u);
  EXPECT_EQ(finished[0].reason, FinishReason::kAborted);
  EXPECT_EQ(finished[1].attempt, 2u);
  EXPECT_EQ(finished[1].reason, FinishReason::kLength);
  EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(MakeRequest(1, 6, 4), 100));
}

TEST(InstanceSchedulerTest, ReplaysGeneratedTokensWithoutSendingThemAgain) {
  const Request original = MakeRequest(1, 6, 10);
  const std::vector<TokenId> all = ExpectedOutput(original, 100);
  Request replay = original;
  replay.generated.assign(all.begin(), all.begin() + 4);
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(replay, kStart).ok());
  ASSERT_TRUE(instance.Step());
  EXPECT_EQ(instance.last_batch_rows[0].num_tokens, 10);
  EXPECT_EQ(instance.last_batch_rows[0].num_prompt_tokens, 6);
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(replay.id), std::vector<TokenId>(all.begin() + 4, all.end()));
  EXPECT_EQ(instance.EventsOf(replay.id, EventKind::kToken)[0].index, 4);
}

TEST(InstanceSchedulerTest, EndsAReplayThatHadEndedAlready) {
  Request replay = MakeRequest(1, 6, 10);
  replay.generated = {9, 8, 7};
  replay.sampling.stop_token_ids = {7};
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(replay, kStart).ok());
  EXPECT_FALSE(instance.Step());
  EXPECT_EQ(instance.EventsOf(replay.id, EventKind::kFinished).at(0).stop_token, 7);
}

TEST(InstanceSchedulerTest, FailsARequestWhoseDeadlinePassedBeforeItBegan) {
  FakeInstance instance(SmallOptions());
  Request late = MakeRequest(1, 6, 4);
  late.deadline = kStart + absl::Seconds(1);
  ASSERT_TRUE(instance.scheduler->Add(late, kStart).ok());
  EXPECT_EQ(instance.scheduler->NextTick(), late.deadline);
  EXPECT_FALSE(instance.Step(late.deadline));
  EXPECT_EQ(instance.EventsOf(late.id, EventKind::kFailed).at(0).status.code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(instance.scheduler->NextTick(), absl::InfiniteFuture());
}

TEST(InstanceSchedulerTest, DeadlineIsMetOnceARequestHasBegun) {
  FakeInstance instance(SmallOptions());
  Request request = MakeRequest(1, 20, 4);
  request.deadline = kStart + absl::Seconds(1);
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  ASSERT_TRUE(instance.Step(kStart));
  instance.RunUntilIdle(kStart + absl::Seconds(9));
  EXPECT_EQ(instance.TokensOf(request.id).size(), 4u);
}

TEST(InstanceSchedulerTest, AbortInFlightEndsAtOnceAndFreesBlocksAtCommit) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 6, 4), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 6, 4), kStart).ok());
  const Batch batch = instance.scheduler->Schedule(kStart);
  instance.scheduler->Abort(RequestId(1), 0, kStart);
  instance.TakeEvents();
  EXPECT_EQ(instance.EventsOf(RequestId(1), EventKind::kFinished).at(0).reason,
            FinishReason::kAborted);
  EXPECT_EQ(instance.NumBlocks(BlockState::kRunning), 6);
  instance.Collect(instance.scheduler->Commit(batch, instance.runner.Run(batch), kStart));
  EXPECT_EQ(instance.NumBlocks(BlockState::kRunning), 3);
  EXPECT_FALSE(instance.Has(RequestId(1), EventKind::kToken));
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(RequestId(2)).size(), 4u);
  EXPECT_EQ(instance.NumUnused(), 32);
}

TEST(InstanceSchedulerTest, SameIdMayComeBackWhileItsAbortedStepIsInFlight) {
  FakeInstance instance(SmallOptions());
  Request request = MakeRequest(1, 6, 4);
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  const Batch batch = instance.scheduler->Schedule(kStart);
  request.attempt = 1;
  ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  instance.Collect(instance.scheduler->Commit(batch, instance.runner.Run(batch), kStart));
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
  EXPECT_EQ(instance.NumUnused(), 32);
}

TEST(InstanceSchedulerTest, AFailedStepRunsAgainWithTheSameTokens) {
  FakeInstance instance(SmallOptions());
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, 5, 4), kStart).ok());
  }
  const Batch batch = instance.scheduler->Schedule(kStart);
  instance.Collect(instance.scheduler->Fail(batch, absl::InternalError("lost"), kStart));
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(instance.Step());
    EXPECT_THAT(RowIds(instance.last_batch_rows), ElementsAre(id)) << "each runs alone";
  }
  instance.RunUntilIdle();
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(instance.TokensOf(RequestId(id)), ExpectedOutput(MakeRequest(id, 5, 4), 100));
  }
  EXPECT_EQ(instance.scheduler->Stats().failed_steps, 1);
}

TEST(InstanceSchedulerTest, OnlyTheRequestWhoseStepDiesAgainFails) {
  FakeInstance instance(SmallOptions());
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, 5, 4), kStart).ok());
  }
  for (Batch batch = instance.scheduler->Schedule(kStart); !batch.empty();
       batch = instance.scheduler->Schedule(kStart)) {
    const bool dies = std::any_of(batch.rows.begin(), batch.rows.end(),
                                  [](const BatchRow& row) { return row.request == RequestId(2); });
    instance.Collect(
        dies ? instance.scheduler->Fail(batch, absl::InternalError("not finite"), kStart)
             : instance.scheduler->Commit(batch, instance.runner.Run(batch), kStart));
  }
  EXPECT_EQ(instance.EventsOf(RequestId(2), EventKind::kFailed).at(0).status.message(),
            "not finite");
  EXPECT_EQ(instance.TokensOf(RequestId(1)).size(), 4u);
  EXPECT_EQ(instance.TokensOf(RequestId(3)).size(), 4u);
  EXPECT_EQ(instance.NumUnused(), 32);
}

TEST(InstanceSchedulerTest, OutputThatDoesNotFitTheBatchFailsTheStep) {
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 5, 4), kStart).ok());
  for (int i = 0; i < 2; ++i) {
    const Batch batch = instance.scheduler->Schedule(kStart);
    StepOutput output = instance.runner.Run(batch);
    output.rows[0].tokens.clear();
    instance.Collect(instance.scheduler->Commit(batch, output, kStart));
  }
  const Event failed = instance.EventsOf(RequestId(1), EventKind::kFailed).at(0);
  EXPECT_EQ(failed.status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(failed.status.message()),
              HasSubstr("expected 1 tokens of request 1, got 0"));
}

TEST(InstanceSchedulerTest, SendsEachPromptLogprobOnceInSpiteOfPreemption) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 7;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 8, 12), kStart).ok());
  Request with_logprobs = MakeRequest(2, 8, 12);
  with_logprobs.sampling.num_prompt_logprobs = 0;
  ASSERT_TRUE(instance.scheduler->Add(with_logprobs, kStart).ok());
  instance.RunUntilIdle();
  ASSERT_TRUE(instance.Has(RequestId(2), EventKind::kPreempted));
  std::vector<int> positions;
  for (const Event& event : instance.EventsOf(RequestId(2), EventKind::kPromptLogprobs)) {
    for (const PromptLogprob& logprob : event.prompt_logprobs) {
      positions.push_back(logprob.position);
    }
  }
  EXPECT_THAT(positions, ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

TEST(InstanceSchedulerTest, BatchesInFlightShareNoRequest) {
  InstanceOptions options = SmallOptions();
  options.depth = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 5, 4), kStart).ok());
  const Batch first = instance.scheduler->Schedule(kStart);
  EXPECT_TRUE(instance.scheduler->Schedule(kStart).empty());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 5, 4), kStart).ok());
  const Batch second = instance.scheduler->Schedule(kStart);
  EXPECT_THAT(RowIds(second.rows), ElementsAre(2));
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(3, 5, 4), kStart).ok());
  EXPECT_TRUE(instance.scheduler->Schedule(kStart).empty()) << "two are in flight";
  instance.Collect(instance.scheduler->Commit(second, instance.runner.Run(second), kStart));
  instance.Collect(instance.scheduler->Commit(first, instance.runner.Run(first), kStart));
  instance.RunUntilIdle();
  EXPECT_EQ(instance.scheduler->Stats().finished_requests, 3);
}

TEST(InstanceSchedulerTest, EveryBatchInFlightHasItsShareOfTheDecodingSequences) {
  InstanceOptions options = SmallOptions();
  options.depth = 2;
  FakeInstance instance(options);
  for (uint64_t id : {1, 2, 3}) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, 3, 4), kStart).ok());
  }
  ASSERT_TRUE(instance.Step());  // prefills all three
  const Batch first = instance.scheduler->Schedule(kStart);
  EXPECT_THAT(RowIds(first.rows), ElementsAre(1, 2));
  const Batch second = instance.scheduler->Schedule(kStart);
  EXPECT_THAT(RowIds(second.rows), ElementsAre(3));
  instance.Collect(instance.scheduler->Commit(first, instance.runner.Run(first), kStart));
  const Batch third = instance.scheduler->Schedule(kStart);
  EXPECT_THAT(RowIds(third.rows), ElementsAre(1, 2));
  instance.Collect(instance.scheduler->Commit(second, instance.runner.Run(second), kStart));
  instance.Collect(instance.scheduler->Commit(third, instance.runner.Run(third), kStart));
  instance.RunUntilIdle();
  EXPECT_EQ(instance.scheduler->Stats().finished_requests, 3);
}

TEST(InstanceSchedulerTest, ABrokenLedgerFailsThatRequestAndIsCounted) {
#ifdef TANDEM_DEBUG
  GTEST_SKIP() << "aborts the process in debug builds";
#endif
  FakeInstance instance(SmallOptions());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 5, 4), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 5, 4), kStart).ok());
  const Batch batch = instance.scheduler->Schedule(kStart);
  const BlockId stolen = batch.rows[0].block_table[0];
  ASSERT_TRUE(InstanceSchedulerPeer::blocks(*instance.scheduler)
                  .Move({stolen}, BlockState::kRunning, BlockState::kQuarantined)
                  .ok());
  instance.Collect(instance.scheduler->Commit(batch, instance.runner.Run(batch), kStart));
  instance.RunUntilIdle();
  EXPECT_EQ(instance.EventsOf(RequestId(1), EventKind::kFailed).at(0).status.code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(instance.TokensOf(RequestId(2)).size(), 4u);
  EXPECT_EQ(instance.scheduler->Stats().ledger_breaches, 1);
}

TEST(InstanceSchedulerTest, StatsAddUpToThePoolAndCountTheQueues) {
  InstanceOptions options = SmallOptions();
  options.max_num_seqs = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 5, 4), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 20, 4), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(3, 7, 4), kStart).ok());
  ASSERT_TRUE(instance.scheduler->Expect(MakeRequest(4, 7, 4), kStart).ok());
  ASSERT_TRUE(instance.Step());
  const SchedulerStats stats = instance.scheduler->Stats();
  EXPECT_EQ(stats.decoding_requests, 1);
  EXPECT_EQ(stats.prefilling_requests, 1);
  EXPECT_EQ(stats.waiting_requests, 1);
  EXPECT_EQ(stats.waiting_tokens, 20 - 15 + 7);
  EXPECT_EQ(stats.expected_requests, 1);
  int sum = 0;
  for (int count : stats.blocks) sum += count;
  EXPECT_EQ(sum, stats.num_blocks);
}

}  // namespace
}  // namespace tandem
