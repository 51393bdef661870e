#include "server/controller/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/strip.h"
#include "scheduler/replay/log_replay.h"
#include "tests/server/controller/registration.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::FromUnixSeconds(1000);

v1::RegisterRequest Worker(const std::string& id, v1::Role role, uint64_t epoch = 1) {
  return Registration(id, role, epoch);
}

v1::HeartbeatRequest Beat(const std::string& id, uint64_t epoch = 1) {
  v1::HeartbeatRequest beat;
  beat.set_instance_id(id);
  beat.set_epoch(epoch);
  beat.mutable_stats()->set_healthy(true);
  beat.mutable_stats()->set_blocks_total(100);
  beat.mutable_stats()->set_blocks_free(100);
  return beat;
}

class ClusterTest : public testing::Test {
 protected:
  // The first of a new stream.
  absl::Status Heartbeat(const v1::HeartbeatRequest& beat, absl::Time now = kStart) {
    stream_ = cluster_.OpenStream();
    return cluster_.Heartbeat(stream_, beat, now);
  }

  // As the scheduler process does it, every 100 ms.
  void TickUntil(absl::Time end) {
    while (now_ < end) cluster_.Tick(now_ += absl::Milliseconds(100));
  }

  Cluster cluster_{{.seed = 3, .heartbeat_timeout = absl::Seconds(2)}};
  StreamId stream_;  // the latest
  absl::Time now_ = kStart;
};

TEST_F(ClusterTest, RoutesToTheWorkersThatRegistered) {
  EXPECT_FALSE(cluster_.State().servable());
  ASSERT_TRUE(cluster_.Register(Worker("p", v1::ROLE_PREFILL, 5), kStart).ok());
  EXPECT_EQ(cluster_.Route({}, kStart).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(cluster_.Register(Worker("d", v1::ROLE_DECODE, 6), kStart).ok());
  EXPECT_TRUE(cluster_.State().servable());
  const auto route = cluster_.Route({}, kStart);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->prefill().instance_id(), "p");
  EXPECT_EQ(route->prefill().epoch(), 5);
  EXPECT_EQ(route->decode().address(), "d:1");
}

TEST_F(ClusterTest, AnotherModelIsRefusedWithTheReason) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  v1::RegisterRequest other = Worker("b", v1::ROLE_MIXED);
  other.mutable_model()->set_name("other");
  other.mutable_model()->set_content_hash(10);
  const absl::Status status = cluster_.Register(other, kStart);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"other\" is not the same file"));
  EXPECT_EQ(cluster_.State().instances_size(), 1);
}

TEST_F(ClusterTest, ARestartReplacesTheOldEpoch) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED, 1), kStart).ok());
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED, 2), kStart).ok());
  EXPECT_EQ(Heartbeat(Beat("a", 1)).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Heartbeat(Beat("a", 2)).ok());
  cluster_.Leave(stream_, "a", 1);  // the old stream ends late
  EXPECT_TRUE(cluster_.State().servable());
  cluster_.Leave(stream_, "a", 2);
  EXPECT_FALSE(cluster_.State().servable());
}

TEST_F(ClusterTest, ASilentWorkerIsTakenOut) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  TickUntil(kStart + absl::Seconds(1));
  EXPECT_TRUE(cluster_.State().servable());
  ASSERT_TRUE(Heartbeat(Beat("a"), kStart + absl::Seconds(1.5)).ok());
  TickUntil(kStart + absl::Seconds(3));
  EXPECT_TRUE(cluster_.State().servable());
  TickUntil(kStart + absl::Seconds(4));
  EXPECT_EQ(cluster_.State().instances_size(), 0);
}

TEST_F(ClusterTest, NobodyIsTakenOutForASilenceOfTheSchedulerItself) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  ASSERT_TRUE(cluster_.Register(Worker("b", v1::ROLE_MIXED), kStart).ok());
  TickUntil(kStart + absl::Seconds(1));
  now_ += absl::Seconds(10);  // paused; beats wait to be read
  TickUntil(now_ + absl::Seconds(1));
  EXPECT_EQ(cluster_.State().instances_size(), 2);
  ASSERT_TRUE(Heartbeat(Beat("a"), now_).ok());
  TickUntil(now_ + absl::Seconds(1.5));
  ASSERT_EQ(cluster_.State().instances_size(), 1) << "the other one does not beat any more";
  EXPECT_EQ(cluster_.State().instances(0).registration().instance_id(), "a");
}

TEST_F(ClusterTest, AWorkerStaysWhileTheLastStreamItHasBeatenOverLasts) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  ASSERT_TRUE(Heartbeat(Beat("a")).ok());
  const StreamId half_open = stream_;
  ASSERT_TRUE(Heartbeat(Beat("a")).ok());
  EXPECT_TRUE(absl::IsAborted(cluster_.Heartbeat(half_open, Beat("a"), kStart)));
  cluster_.Leave(half_open, "a", 1);
  EXPECT_TRUE(cluster_.State().servable());
  cluster_.Leave(stream_, "a", 1);
  EXPECT_FALSE(cluster_.State().servable());
}

TEST_F(ClusterTest, AStreamDoesNotCountOnceItsWorkerHasRegisteredAgain) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  ASSERT_TRUE(Heartbeat(Beat("a")).ok());
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  EXPECT_TRUE(absl::IsAborted(cluster_.Heartbeat(stream_, Beat("a"), kStart)));
  cluster_.Leave(stream_, "a", 1);
  EXPECT_TRUE(cluster_.State().servable());
}

TEST_F(ClusterTest, ADrainingOrStuckWorkerGetsNothingNew) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  v1::HeartbeatRequest beat = Beat("a");
  beat.set_draining(true);
  ASSERT_TRUE(Heartbeat(beat).ok());
  EXPECT_FALSE(cluster_.State().servable());
  beat.set_draining(false);
  beat.mutable_stats()->set_healthy(false);
  ASSERT_TRUE(Heartbeat(beat).ok());
  EXPECT_FALSE(cluster_.State().servable());
  ASSERT_TRUE(Heartbeat(Beat("a")).ok());
  EXPECT_TRUE(cluster_.State().servable());
}

TEST_F(ClusterTest, ARoleThatChangesChangesTheRoutes) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_PREFILL), kStart).ok());
  ASSERT_TRUE(cluster_.Register(Worker("b", v1::ROLE_DECODE), kStart).ok());
  v1::HeartbeatRequest beat = Beat("a");
  beat.set_role(v1::ROLE_DECODE);
  ASSERT_TRUE(Heartbeat(beat).ok());
  beat = Beat("b");
  beat.set_role(v1::ROLE_PREFILL);
  ASSERT_TRUE(Heartbeat(beat).ok());
  const auto route = cluster_.Route({}, kStart);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->prefill().instance_id(), "b");
  EXPECT_EQ(route->decode().instance_id(), "a");
  beat.set_role(static_cast<v1::Role>(9));
  EXPECT_EQ(Heartbeat(beat).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(cluster_.State().servable());
}

TEST_F(ClusterTest, RoutesByPredictionFromWhatHeartbeatsTell) {
  ASSERT_TRUE(cluster_.Register(Worker("p", v1::ROLE_PREFILL), kStart).ok());
  ASSERT_TRUE(cluster_.Register(Worker("q", v1::ROLE_PREFILL), kStart).ok());
  ASSERT_TRUE(cluster_.Register(Worker("d", v1::ROLE_DECODE), kStart).ok());
  v1::HeartbeatRequest beat = Beat("q");
  for (double value : {5.0, 2.0, 0.001})
    beat.mutable_stats()->mutable_latency()->add_prefill(value);
  for (double value : {9.0, 0.01, 0.5}) beat.mutable_stats()->mutable_latency()->add_decode(value);
  beat.mutable_stats()->set_steps(40);
  beat.mutable_prefixes()->set_restart(true);
  beat.mutable_prefixes()->add_added(70);
  beat.mutable_prefixes()->add_added(71);
  ASSERT_TRUE(Heartbeat(beat).ok());
  v1::RouteRequest request;
  request.set_num_prompt_tokens(100);
  v1::PrefixKeys& prefixes = *request.add_prefixes();
  prefixes.set_block_size(16);
  for (uint64_t key : {70, 71, 72}) prefixes.add_keys(key);
  auto route = cluster_.Route(request, kStart);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->prefill().instance_id(), "q") << "32 of the 100 tokens are there";
  EXPECT_NEAR(route->ttft_ms(), 5 + 68 * 2 + 0.001 * (100 * 100 - 32 * 32), 1e-6);
  EXPECT_NEAR(route->tpot_ms(), 9 + 100 * 0.01 + 0.5, 1e-6);

  request.set_ttft_target_ms(100);
  request.set_reject_late(true);
  EXPECT_EQ(cluster_.Route(request, kStart).status().code(), absl::StatusCode::kResourceExhausted);

  beat = Beat("q");
  beat.mutable_prefixes()->add_removed(71);
  beat.mutable_prefixes()->add_removed(70);
  ASSERT_TRUE(Heartbeat(beat).ok());
  request.clear_ttft_target_ms();
  cluster_.Complete(route->request_id());
  route = cluster_.Route(request, kStart);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->prefill().instance_id(), "p");
}

TEST_F(ClusterTest, ALatencyThatMakesNoSenseIsNotKnown) {
  ASSERT_TRUE(cluster_.Register(Worker("a", v1::ROLE_MIXED), kStart).ok());
  v1::HeartbeatRequest beat = Beat("a");
  for (double value : {5.0, -2.0, 0.001})
    beat.mutable_stats()->mutable_latency()->add_prefill(value);
  for (double value : {9.0, 0.01, 0.5}) beat.mutable_stats()->mutable_latency()->add_decode(value);
  ASSERT_TRUE(Heartbeat(beat).ok());
  const auto route = cluster_.Route({}, kStart);
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->ttft_ms(), 0);
}

TEST(ClusterLogTest, WhatItAsksItsRouterIsReplayedToTheByte) {
  std::vector<std::string> lines;
  Cluster cluster({.seed = 3}, [&lines](absl::string_view line) {
    lines.emplace_back(absl::StripSuffix(line, "\n"));
  });
  ASSERT_TRUE(cluster.Register(Worker("m", v1::ROLE_MIXED), kStart).ok());
  v1::HeartbeatRequest beat = Beat("m");
  beat.mutable_prefixes()->set_restart(true);
  beat.mutable_prefixes()->add_added(17);
  const StreamId half_open = cluster.OpenStream(), stream = cluster.OpenStream();
  ASSERT_TRUE(cluster.Heartbeat(stream, beat, kStart).ok());
  EXPECT_FALSE(cluster.Heartbeat(half_open, beat, kStart).ok());
  cluster.Leave(half_open, "m", 1);  // changes nothing, so the router does not hear of it
  const auto route = cluster.Route({}, kStart);
  ASSERT_TRUE(route.ok());
  cluster.Complete(route->request_id());
  cluster.Leave(stream, "m", 1);
  LogReplay replay;
  for (const std::string& line : lines) ASSERT_TRUE(replay.Play(line).ok()) << line;
  EXPECT_EQ(replay.report().num_calls, 6);
  EXPECT_EQ(replay.report().num_equal_calls, 6);
}

}  // namespace
}  // namespace tandem
