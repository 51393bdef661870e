// How a worker ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "absl/synchronization/notification.h"
#include "tests/server/worker/worker_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAreArray;

constexpr absl::Duration kPatience = absl::Seconds(30);

using DrainTest = WorkerFixture;

TEST_F(DrainTest, ADrainedWorkerEndsCleanAndLeavesTheCluster) {
  StartWorker(Role::kMixed, "mixed-0");
  EXPECT_TRUE(workers_[0]->Drain(absl::Seconds(5)));
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return state.instances().empty() && !state.servable();
  }));
}

TEST_F(DrainTest, APrefillWorkerWaitsUntilItsKvHasBeenPulled) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  const GoldenCase golden = GoldenCases()[1];
  const v1::RouteResponse route = Route();
  v1::PrefillRequest prefill;
  *prefill.mutable_request() = MakeRequest(route, golden);
  prefill.set_epoch(route.prefill().epoch());
  prefill.set_hand_off(true);
  grpc::ClientContext prefill_context, decode_context;
  const auto prefill_reader = stubs_["prefill-0"]->Prefill(&prefill_context, prefill);
  v1::TokenEvent first;
  ASSERT_TRUE(prefill_reader->Read(&first));
  bool clean = false;
  std::thread drain([&] { clean = workers_[0]->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return std::any_of(state.instances().begin(), state.instances().end(),
                       [](const v1::InstanceState& instance) { return instance.draining(); });
  }));
  v1::DecodeRequest decode;
  *decode.mutable_request() = prefill.request();
  decode.set_epoch(route.decode().epoch());
  decode.mutable_prefill()->set_address(route.prefill().address());
  decode.mutable_prefill()->set_epoch(route.prefill().epoch());
  Answer answer;
  answer.tokens.push_back(first.tokens(0).token());
  ReadAll(*stubs_["decode-0"]->Decode(&decode_context, decode), answer);
  EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
  EXPECT_FALSE(answer.stats.recomputed());
  drain.join();
  EXPECT_TRUE(clean);
}

TEST_F(DrainTest, ADrainEndsWhenARankDies) {
  StartWorker(Role::kPrefill, "prefill-0", /*lease=*/absl::Hours(1), {.tp = 2});
  StartWorker(Role::kDecode, "decode-0");
  const v1::RouteResponse route = Route();
  v1::PrefillRequest prefill;  // of KV that nobody pulls
  *prefill.mutable_request() = MakeRequest(route, GoldenCases()[1]);
  prefill.set_epoch(route.prefill().epoch());
  prefill.set_hand_off(true);
  grpc::ClientContext context;
  const auto reader = stubs_["prefill-0"]->Prefill(&context, prefill);
  v1::TokenEvent first;
  ASSERT_TRUE(reader->Read(&first));
  bool clean = true;
  absl::Notification is_over;
  std::thread drain([&] {
    clean = workers_[0]->Drain(absl::Hours(1));
    is_over.Notify();
  });
  EXPECT_EQ(kill(ranks_[0], SIGKILL), 0);
  EXPECT_TRUE(is_over.WaitForNotificationWithTimeout(kPatience));
  context.TryCancel();  // ends it in any case
  drain.join();
  EXPECT_FALSE(clean);
}

TEST_F(DrainTest, AWorkerThatIsCutEndsItsPulls) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  const v1::RouteResponse route = Route();
  v1::DecodeRequest decode;  // of a prompt that the prefill worker never gets
  *decode.mutable_request() = MakeRequest(route, GoldenCases()[1]);
  decode.set_epoch(route.decode().epoch());
  decode.mutable_prefill()->set_address(route.prefill().address());
  decode.mutable_prefill()->set_epoch(route.prefill().epoch());
  grpc::ClientContext context;
  const auto reader = stubs_["decode-0"]->Decode(&context, decode);
  ASSERT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return std::any_of(
        state.instances().begin(), state.instances().end(),
        [](const v1::InstanceState& instance) { return instance.stats().waiting_requests() > 0; });
  }));
  EXPECT_FALSE(workers_[1]->Drain(absl::ZeroDuration()));
  workers_.pop_back();
  // The other end of the pull goes after it.
  workers_.clear();
  Answer answer;
  ReadAll(*reader, answer);
  EXPECT_FALSE(answer.status.ok());
}

}  // namespace
}  // namespace tandem
