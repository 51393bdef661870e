// The scheduler's service over gRPC.
#include "server/controller/scheduler_service.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "server/controller/controller.h"
#include "tests/server/await_cluster.h"
#include "tests/server/controller/registration.h"

namespace tandem {
namespace {

class SchedulerServiceTest : public testing::Test {
 protected:
  // A heartbeat stream of worker "a".
  struct Beats {
    explicit Beats(v1::Scheduler::Stub& scheduler) : stream(scheduler.Heartbeat(&context)) {}

    bool Send(bool draining) {
      v1::HeartbeatRequest beat;
      beat.set_instance_id("a");
      beat.set_epoch(1);
      beat.set_draining(draining);
      beat.mutable_stats()->set_healthy(true);
      return stream->Write(beat);
    }

    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::HeartbeatRequest, v1::HeartbeatResponse>> stream;
  };

  grpc::Status Register() {
    grpc::ClientContext context;
    v1::RegisterResponse response;
    return scheduler_->Register(&context, Registration("a", v1::ROLE_MIXED, 1), &response);
  }

  bool AwaitCluster(const std::function<bool(const v1::ClusterState&)>& done) {
    return tandem::AwaitCluster(*scheduler_, done);
  }

  bool AwaitDraining(bool draining) {
    return AwaitCluster([draining](const v1::ClusterState& state) {
      return state.instances_size() == 1 && state.instances(0).draining() == draining;
    });
  }

  const std::unique_ptr<Controller> controller_ =
      *Controller::Create({.heartbeat_timeout = absl::Hours(1)});
  const std::unique_ptr<v1::Scheduler::Stub> scheduler_ =
      v1::Scheduler::NewStub(controller_->InProcessChannel());
};

TEST_F(SchedulerServiceTest, TheEndOfAnOldStreamLeavesAWorkerThatBeatsOverANewOne) {
  ASSERT_TRUE(Register().ok());
  Beats old_beats(*scheduler_);
  ASSERT_TRUE(old_beats.Send(/*draining=*/true));
  ASSERT_TRUE(AwaitDraining(true));
  Beats new_beats(*scheduler_);
  ASSERT_TRUE(new_beats.Send(/*draining=*/false));
  ASSERT_TRUE(AwaitDraining(false));
  old_beats.stream->WritesDone();
  EXPECT_TRUE(old_beats.stream->Finish().ok());
  ASSERT_TRUE(new_beats.Send(/*draining=*/true));
  EXPECT_TRUE(AwaitDraining(true));
  new_beats.stream->WritesDone();
  EXPECT_TRUE(new_beats.stream->Finish().ok());
  EXPECT_TRUE(
      AwaitCluster([](const v1::ClusterState& state) { return state.instances().empty(); }));
}

}  // namespace
}  // namespace tandem
