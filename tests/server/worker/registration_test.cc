#include "server/worker/registration.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "proto/scheduler.grpc.pb.h"

namespace tandem {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

// Takes calls, and answers none.
class SilentScheduler : public v1::Scheduler::CallbackService {
 public:
  SilentScheduler() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }

  int port() const { return port_; }
  bool AwaitRegister() { return registering_.WaitForNotificationWithTimeout(kPatience); }

 private:
  struct Call : grpc::ServerUnaryReactor {
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext*, const v1::RegisterRequest*,
                                     v1::RegisterResponse*) override {
    registering_.Notify();
    return new Call();
  }

  absl::Notification registering_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Remembers how the last call of a channel ended.
class EndOfCall : public grpc::experimental::Interceptor {
 public:
  explicit EndOfCall(grpc::Status* end) : end_(end) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::POST_RECV_STATUS)) {
      *end_ = *methods->GetRecvStatus();
    }
    methods->Proceed();
  }

  struct Factory : grpc::experimental::ClientInterceptorFactoryInterface {
    explicit Factory(grpc::Status* end) : end(end) {}
    grpc::experimental::Interceptor* CreateClientInterceptor(
        grpc::experimental::ClientRpcInfo*) override {
      return new EndOfCall(end);
    }
    grpc::Status* const end;
  };

 private:
  grpc::Status* const end_;
};

TEST(RegistrationTest, StopCancelsARegistrationThatIsNotAnswered) {
  SilentScheduler scheduler;
  grpc::Status end;
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<EndOfCall::Factory>(&end));
  Registration registration(
      grpc::experimental::CreateCustomChannelWithInterceptors(
          absl::StrCat("127.0.0.1:", scheduler.port()), grpc::InsecureChannelCredentials(),
          grpc::ChannelArguments(), std::move(interceptors)),
      v1::RegisterRequest(), [](bool, v1::HeartbeatRequest&) {});
  registration.Start();
  ASSERT_TRUE(scheduler.AwaitRegister());
  registration.Stop();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::CANCELLED) << "not at its deadline";
}

}  // namespace
}  // namespace tandem
