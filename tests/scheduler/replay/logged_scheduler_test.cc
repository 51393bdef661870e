#include "scheduler/replay/logged_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fake_runner.h"
#include "tests/scheduler/replay/recorded.h"
#include "tests/scheduler/simulated_cluster.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Time At(int64_t nanoseconds) { return absl::FromUnixNanos(nanoseconds); }

std::unique_ptr<RecordedScheduler> MakeRecorded(InstanceOptions options = SmallOptions()) {
  return std::move(RecordedScheduler::Create(options)).value();
}

TEST(LoggedSchedulerTest, FirstLineHasTheOptions) {
  const auto scheduler = MakeRecorded();
  EXPECT_THAT(scheduler->lines,
              ElementsAre(R"({"tandem_event_log":1,"kind":"instance","options":{"num_blocks":32,)"
                          R"("block_size":4,"num_host_blocks":0,"block_copy_time":0,)"
                          R"("max_model_len":100,"max_num_seqs":8,"max_num_batched_tokens":16,)"
                          R"("prefill_batch_tokens":1073741824,"max_queued_requests":1024,)"
                          R"("prefix_caching":true,"depth":1,"lease":30000000000}})"));
}

TEST(LoggedSchedulerTest, WritesEveryCallOfARequestWithItsOutcome) {
  const auto scheduler = MakeRecorded();
  scheduler->lines.clear();
  LoggedScheduler& logged = *scheduler;
  Request request = MakeRequest(7, 3, 2);
  ASSERT_TRUE(logged.Add(request, At(1)).ok());
  const Batch first = logged.Schedule(At(2));
  logged.TakeEvents();
  logged.Commit(first, {{{.request = RequestId(7), .tokens = {{.token = 5}}}}}, At(3));
  const Batch second = logged.Schedule(At(4));
  logged.Fail(second, absl::InternalError("dead step"), At(5));
  logged.Abort(RequestId(7), 0, At(6));
  logged.TakeEvents();
  logged.Schedule(At(7));
  EXPECT_THAT(
      scheduler->lines,
      ElementsAre(
          R"({"call":"add","now":1,"request":{"id":7,"prompt":[25,32,39],"sampling":{"max_tokens":2}}})",
          R"({"call":"schedule","now":2,"step":1,"rows":[[7,3,0,3,1,"0"]]})",
          R"({"call":"take_events","events":[["begun",7,0,3,0,"0"]]})",
          R"({"call":"commit","now":3,"step":1,"output":[5],"events":[["token",7,0,0,5]]})",
          R"({"call":"schedule","now":4,"step":2,"rows":[[7,4,3,1,1,"+"]]})",
          R"({"call":"fail","now":5,"step":2,"status":["INTERNAL","dead step"],"events":[]})",
          R"({"call":"abort","now":6,"id":7,"attempt":0})",
          R"({"call":"take_events","events":[["finished",7,0,"aborted"]]})",
          R"({"call":"schedule","now":7})"));
}

TEST(LoggedSchedulerTest, WritesTheCallsOfAHandoff) {
  const auto scheduler = MakeRecorded();
  scheduler->lines.clear();
  const RequestId id(7);
  EXPECT_FALSE(scheduler->Expect(MakeRequest(7, 0, 2), At(1)).ok());
  scheduler->Begun(id, 1, At(2));
  scheduler->Offer({.id = id, .attempt = 1, .first_token = 9}, At(3));
  scheduler->Recompute(id, 1, At(4));
  scheduler->Fence(id, 1, At(5));
  scheduler->SetLease(id, 1, At(6));
  scheduler->Release(id, 1, At(7));
  scheduler->Tick(At(8));
  EXPECT_THAT(scheduler->lines,
              ElementsAre(HasSubstr(R"("refused":["INVALID_ARGUMENT","prompt has no tokens"])"),
                          R"({"call":"begun","now":2,"id":7,"attempt":1})",
                          R"({"call":"offer","now":3,"id":7,"attempt":1,"first_token":9})",
                          R"({"call":"recompute","now":4,"id":7,"attempt":1})",
                          R"({"call":"fence","now":5,"id":7,"attempt":1})",
                          R"({"call":"set_lease","id":7,"attempt":1,"end":6})",
                          R"({"call":"release","now":7,"id":7,"attempt":1})",
                          R"({"call":"tick","now":8})"));
}

TEST(LoggedSchedulerTest, TakingNothingWritesNothing) {
  const auto scheduler = MakeRecorded();
  scheduler->lines.clear();
  EXPECT_THAT(scheduler->TakeEvents(), IsEmpty());
  EXPECT_TRUE(scheduler->TakePrefixChanges(5).empty());
  EXPECT_THAT(scheduler->lines, IsEmpty());
}

TEST(LoggedSchedulerTest, RowsThatAreNotAsAskedForAreReplayedToo) {
  const auto scheduler = MakeRecorded();
  LoggedScheduler& logged = *scheduler;
  Request request = MakeRequest(7, 6, 4);
  request.sampling.num_prompt_logprobs = 1;
  ASSERT_TRUE(logged.Add(request, At(1)).ok());
  ASSERT_TRUE(logged.Add(MakeRequest(8, 6, 4), At(1)).ok());
  const Batch first = logged.Schedule(At(2));
  RowOutput scored{.request = RequestId(7), .tokens = {{.token = 5}}};
  for (int position = 1; position < 6; ++position) {
    scored.prompt_logprobs.push_back({.position = position});
  }
  const RowOutput failed{.request = RequestId(8), .status = absl::InternalError("not finite")};
  logged.Commit(first, {{scored, failed}}, At(3));
  EXPECT_EQ(scheduler->lines.back(),
            R"({"call":"commit","now":3,"step":1,"output":[{"tokens":[5],"prompt_logprobs":"1-5"},)"
            R"({"tokens":[],"status":["INTERNAL","not finite"]}],"events":[)"
            R"(["begun",7,0,6,0,"0-2"],["begun",8,0,6,0,"3-5"],["prompt_logprobs",7,0,"1-5"],)"
            R"(["token",7,0,0,5],["failed",8,0,["INTERNAL","not finite"]]]})");
  // Of another request, and of one more row: the step fails.
  const Batch second = logged.Schedule(At(4));
  const RowOutput stray{.request = RequestId(9), .tokens = {{.token = 5}, {.token = 6}}};
  logged.Commit(second, {{stray, stray}}, At(5));
  EXPECT_THAT(scheduler->lines.back(),
              HasSubstr(R"("output":[{"request":9,"tokens":[5,6]},{"request":9,"tokens":[5,6]}])"));
  ExpectEqualReplay(scheduler->lines);
}

TEST(LoggedSchedulerTest, BlocksAreWrittenOnceAndAgainAfterAPreemption) {
  BlockTables last;
  const auto written = [&last](const std::vector<BlockId>& table) {
    std::string out;
    AppendRows({{.request = RequestId(7), .block_table = table}}, &last, &out);
    return out.substr(out.find('"'), out.rfind('"') + 1 - out.find('"'));
  };
  EXPECT_EQ(written({4, 5, 9}), "\"4-5,9\"");
  EXPECT_EQ(written({4, 5, 9}), "\"+\"");
  EXPECT_EQ(written({4, 5, 9, 11, 12}), "\"+11-12\"");
  EXPECT_EQ(written({4, 6, 9, 11, 12, 13}), "\"4,6,9,11-13\"");
  EXPECT_EQ(written({4}), "\"4\"");
}

TEST(LoggedSchedulerTest, WithoutASinkItPassesEverythingOn) {
  LoggedScheduler logged(std::move(InstanceScheduler::Create(SmallOptions())).value());
  ASSERT_TRUE(logged.Add(MakeRequest(7, 3, 2), At(1)).ok());
  EXPECT_EQ(logged.Schedule(At(2)).rows.size(), 1u);
  EXPECT_EQ(logged.TakeEvents().size(), 1u);
  EXPECT_EQ(logged.Stats().prefilling_requests, 1);
}

// What random messages, transfers, aborts, dead steps and replays do to two workers.
void ExpectEqualReplaysOf(const ClusterOptions& options, int num_operations) {
  SimulatedClusterOf<RecordedScheduler> cluster(options);
  cluster.Run(num_operations);
  for (const int side : {0, 1}) {
    SCOPED_TRACE(absl::StrCat("seed ", options.seed, side == 0 ? " prefill" : " decode"));
    const RecordedScheduler& scheduler = cluster.scheduler(side);
    ASSERT_GT(scheduler.lines.size(), 100u);
    ExpectEqualReplay(scheduler.lines);
  }
}

ClusterOptions Tiny(uint32_t seed) {
  ClusterOptions options{.seed = seed, .prefill = SmallOptions(), .decode = SmallOptions()};
  options.prefill.num_blocks = 14;
  options.decode.num_blocks = 12;
  options.prefill.lease = options.decode.lease = absl::Milliseconds(150);
  return options;
}

TEST(LoggedSchedulerTest, RandomRunsAreReplayedToTheByte) {
  for (uint32_t seed = 0; seed < 10 && !HasFailure(); ++seed) {
    ExpectEqualReplaysOf(Tiny(seed), 600);
  }
}

TEST(LoggedSchedulerTest, RandomRunsWithAHostTierAndBatchesInFlightAreReplayedToTheByte) {
  for (uint32_t seed = 0; seed < 6 && !HasFailure(); ++seed) {
    ClusterOptions options = Tiny(seed);
    options.prefill.num_host_blocks = options.decode.num_host_blocks = 10;
    options.prefill.block_copy_time = options.decode.block_copy_time = absl::Microseconds(100) / 3;
    options.prefill.depth = options.decode.depth = 3;
    ExpectEqualReplaysOf(options, 600);
  }
}

}  // namespace
}  // namespace tandem
