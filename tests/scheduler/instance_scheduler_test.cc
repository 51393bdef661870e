#include "scheduler/instance_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fake_runner.h"

namespace tandem {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kStart = absl::UnixEpoch();

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

TEST(InstanceSchedulerTest, TellsWhatIsLeftToDoForEachRequest) {
  FakeInstance instance(SmallOptions());
  Request handed = MakeRequest(1, 4, 4);
  handed.hand_off = true;
  ASSERT_TRUE(instance.scheduler->Add(handed, kStart).ok());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 6, 5), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(3, 20, 4), kStart).ok());
  handed.id = RequestId(4);
  ASSERT_TRUE(instance.scheduler->Add(handed, kStart).ok());
  const std::vector<UnfinishedRequest> unfinished = instance.scheduler->Unfinished();
  ASSERT_EQ(unfinished.size(), 3u) << "the first only waits for its KV to be pulled";
  EXPECT_EQ(unfinished[0].id, RequestId(2));
  EXPECT_EQ(unfinished[0].num_tokens_before, 0);
  EXPECT_EQ(unfinished[0].num_tokens_to_draw, 4);
  EXPECT_EQ(unfinished[1].num_tokens_before, 20);
  EXPECT_EQ(unfinished[1].num_tokens_to_draw, 4);
  EXPECT_EQ(unfinished[2].num_tokens_before, 24);
  EXPECT_EQ(unfinished[2].num_tokens_to_draw, 1) << "the others are drawn elsewhere";
}

}  // namespace
}  // namespace tandem
