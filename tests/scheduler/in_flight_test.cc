#include "scheduler/in_flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/instance_scheduler.h"
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

const absl::Time kStart = absl::UnixEpoch();

TEST(InFlightTest, AbortInFlightEndsAtOnceAndFreesBlocksAtCommit) {
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

TEST(InFlightTest, SameIdMayComeBackWhileItsAbortedStepIsInFlight) {
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

TEST(InFlightTest, AFailedStepRunsAgainWithTheSameTokens) {
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

TEST(InFlightTest, OnlyTheRequestWhoseStepDiesAgainFails) {
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

TEST(InFlightTest, OutputThatDoesNotFitTheBatchFailsTheStep) {
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

TEST(InFlightTest, BatchesInFlightShareNoRequest) {
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

TEST(InFlightTest, EveryBatchInFlightHasItsShareOfTheDecodingSequences) {
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

TEST(InFlightTest, ABrokenLedgerFailsThatRequestAndIsCounted) {
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

}  // namespace
}  // namespace tandem
