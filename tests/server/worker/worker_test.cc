// Real workers over loopback gRPC with a tiny checkpoint: a prefill and a decode worker give the
// tokens that the checkpoint's golden data says, and nothing of a request stays behind, however it
// ends.
#include "server/worker/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/worker/worker_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

using WorkerTest = WorkerFixture;

TEST_F(WorkerTest, APrefillAndADecodeWorkerGiveTheGoldenTokens) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_EQ(answer.finish_reason, v1::FINISH_REASON_LENGTH);
    EXPECT_GT(answer.stats.kv_bytes(), 0);
    EXPECT_FALSE(answer.stats.recomputed());
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, ADecodeWorkerTellsWithItsFirstTokenWhatWasPulled) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  EXPECT_EQ(Generate(GoldenCases()[1]).num_tokens_at_stats, 2u);
}

TEST_F(WorkerTest, TheSecondTurnOfAChatSendsOnlyWhatIsNew) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer first = Generate(golden);
    // The same prompt with half of its answer: the golden answer goes on where that ends.
    const auto half = golden.greedy.begin() + golden.greedy.size() / 2;
    GoldenCase turn = golden;
    turn.prompt.insert(turn.prompt.end(), golden.greedy.begin(), half);
    turn.greedy.assign(half, golden.greedy.end());
    const Answer second = Generate(turn);
    EXPECT_TRUE(second.status.ok()) << second.status.error_message();
    EXPECT_THAT(second.tokens, ElementsAreArray(turn.greedy));
    const int block_size = 16, num_old = static_cast<int>(golden.prompt.size()) / block_size;
    EXPECT_GE(second.num_cached_tokens, num_old * block_size);
    EXPECT_LE(second.num_cached_tokens, static_cast<int>(turn.prompt.size()));
    // All but the last, unfinished block is at the decode worker.
    const int64_t bytes_per_token = first.stats.kv_bytes() / golden.prompt.size();
    EXPECT_LE(second.stats.kv_bytes(), block_size * bytes_per_token);
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

// Each has another number of ranks than its peer, so heads and layers are dealt out anew on the
// way.
TEST_F(WorkerTest, InstancesOfSeveralRanksHandKvToEachOther) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Seconds(10), {.tp = 2, .pp = 2});
  StartWorker(Role::kDecode, "decode-0", absl::Seconds(10), {.tp = 4});
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_GT(answer.stats.kv_bytes(), 0);
    EXPECT_FALSE(answer.stats.recomputed());
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
  for (const auto& worker : workers_) EXPECT_TRUE(worker->CheckRanks().ok());
}

TEST_F(WorkerTest, AMixedWorkerGivesTheGoldenTokens) {
  StartWorker(Role::kMixed, "mixed-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_EQ(answer.stats.kv_bytes(), 0);
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, AFailedTransferIsRecomputedAndSaid) {
  StartWorker(Role::kMixed, "mixed-0");
  const GoldenCase golden = GoldenCases()[1];
  const v1::RouteResponse route = Route();
  v1::DecodeRequest decode;
  *decode.mutable_request() = MakeRequest(route, golden);
  decode.set_epoch(route.decode().epoch());
  decode.mutable_prefill()->set_address("127.0.0.1:1");  // nobody is there
  decode.mutable_prefill()->set_epoch(1);
  grpc::ClientContext context;
  Answer answer;
  ReadAll(*stubs_["mixed-0"]->Decode(&context, decode), answer);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
  EXPECT_TRUE(answer.stats.recomputed());
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, ACancelledPrefillGivesItsBlocksBackWithoutWaitingForTheLease) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Hours(1));
  v1::PrefillRequest prefill;
  prefill.mutable_request()->set_id(7);
  prefill.mutable_request()->add_prompt(3);
  prefill.mutable_request()->mutable_sampling()->set_max_tokens(4);
  prefill.set_hand_off(true);
  v1::ClusterState state;
  ASSERT_TRUE(AwaitCluster([&state](const v1::ClusterState& now) {
    state = now;
    return true;
  }));
  prefill.set_epoch(state.instances(0).registration().epoch());
  grpc::ClientContext context;
  const auto reader = stubs_["prefill-0"]->Prefill(&context, prefill);
  v1::TokenEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& now) {
    return now.instances(0).stats().blocks_leased_out() > 0;
  }));
  context.TryCancel();
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, KvThatNobodyPullsIsDroppedWhenItsLeaseEnds) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Milliseconds(50));
  v1::PrefillRequest prefill;
  prefill.mutable_request()->set_id(8);
  prefill.mutable_request()->add_prompt(3);
  prefill.mutable_request()->mutable_sampling()->set_max_tokens(4);
  prefill.set_hand_off(true);
  v1::ClusterState state;
  ASSERT_TRUE(AwaitCluster([&state](const v1::ClusterState& now) {
    state = now;
    return true;
  }));
  prefill.set_epoch(state.instances(0).registration().epoch());
  grpc::ClientContext context;
  Answer answer;
  ReadAll(*stubs_["prefill-0"]->Prefill(&context, prefill), answer);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("lease"));
  EXPECT_EQ(answer.tokens.size(), 1);
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, AResendOfWhatWasNotSentIsRefused) {
  StartWorker(Role::kPrefill, "prefill-0");
  v1::ClusterState state;
  ASSERT_TRUE(AwaitCluster([&state](const v1::ClusterState& now) {
    state = now;
    return true;
  }));
  const v1::RegisterRequest& source = state.instances(0).registration();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  const auto stream = stubs_["prefill-0"]->PullKv(&context);
  v1::PullKvRequest request;
  request.mutable_pull()->set_source_epoch(source.epoch());
  *request.mutable_pull()->mutable_layout() = source.layout();
  stream->Write(request);
  request.mutable_ready()->set_token_begin(1000);
  stream->Write(request);
  request.mutable_resend()->set_token_end(1000);
  stream->Write(request);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WorkerTest, RequestsThatCannotBeAreRefusedByName) {
  StartWorker(Role::kMixed, "mixed-0");
  const v1::RouteResponse route = Route();
  const auto error = [&](const std::function<void(v1::DecodeRequest&)>& change) {
    v1::DecodeRequest decode;
    *decode.mutable_request() = MakeRequest(route, GoldenCases()[0]);
    decode.set_epoch(route.decode().epoch());
    change(decode);
    grpc::ClientContext context;
    Answer answer;
    ReadAll(*stubs_["mixed-0"]->Decode(&context, decode), answer);
    return answer.status;
  };
  grpc::Status status = error([](v1::DecodeRequest& d) { d.set_epoch(1); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("epoch 1"));
  status = error([](v1::DecodeRequest& d) { d.mutable_request()->clear_prompt(); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  status = error([](v1::DecodeRequest& d) { d.mutable_request()->set_prompt(0, 1 << 30); });
  EXPECT_THAT(status.error_message(), HasSubstr("1073741824"));
  status =
      error([](v1::DecodeRequest& d) { d.mutable_request()->mutable_sampling()->set_top_p(2); });
  EXPECT_THAT(status.error_message(), HasSubstr("top_p"));
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, ARoleChangesForThisEpochOnly) {
  StartWorker(Role::kMixed, "mixed-0");
  uint64_t epoch = 0;
  ASSERT_TRUE(AwaitCluster([&epoch](const v1::ClusterState& state) {
    epoch = state.instances(0).registration().epoch();
    return true;
  }));
  const auto set_role = [&](uint64_t of_epoch, v1::Role role) {
    grpc::ClientContext context;
    v1::SetRoleRequest request;
    request.set_epoch(of_epoch);
    request.set_role(role);
    v1::SetRoleResponse response;
    return stubs_["mixed-0"]->SetRole(&context, request, &response);
  };
  EXPECT_EQ(set_role(epoch + 1, v1::ROLE_PREFILL).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(set_role(epoch, v1::ROLE_UNSPECIFIED).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(set_role(epoch, v1::ROLE_DECODE).ok());
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return state.instances(0).registration().role() == v1::ROLE_DECODE;
  }));
}

}  // namespace
}  // namespace tandem
