#include "server/worker/open_pulls.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/worker.grpc.pb.h"
#include "server/worker/kv_messages.h"
#include "server/worker/kv_puller.h"

namespace tandem {
namespace {

// A pull of it stays as it is until it is cancelled.
class SilentSource : public v1::Worker::WithRawCallbackMethod_PullKv<v1::Worker::Service> {
 public:
  SilentSource() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    channel_ = CreateKvChannel(absl::StrCat("127.0.0.1:", port));
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  struct Call : grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PullKv(
      grpc::CallbackServerContext*) override {
    return new Call();
  }

  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

// The receiver's thread only, but what a test reads after EndAll.
struct Listener : KvPullListener {
  void OnBegun() override { ADD_FAILURE(); }
  void OnComplete(TokenId, int64_t) override { ADD_FAILURE(); }
  void OnNothingToDo() override { ADD_FAILURE(); }
  void OnFailed(const absl::Status& status) override { failure = status; }
  void OnEnded() override { has_ended = true; }

  absl::Status failure;
  bool has_ended = false;
};

class OpenPullsTest : public testing::Test {
 protected:
  OpenPullsTest() {
    const KvLayout layout{
        .num_layers = 1, .num_kv_heads = 1, .head_dim = 16, .block_size = 16, .dtype = DType::kF32};
    cache_ = *KvCache::Create(layout, /*num_blocks=*/4);
  }

  std::shared_ptr<Listener> StartPull() {
    auto listener = std::make_shared<Listener>();
    KvPuller::Start({.id = RequestId(next_id_++),
                     .cache = cache_.get(),
                     .receiver = &receiver_,
                     .counters = &counters_,
                     .open = &open_},
                    source_.channel(), listener);
    return listener;
  }

  SilentSource source_;
  std::unique_ptr<KvCache> cache_;
  KvCounters counters_;
  OpenPulls open_;
  TaskThread receiver_;
  uint64_t next_id_ = 1;
};

TEST_F(OpenPullsTest, EndsAfterTheLastPull) {
  const auto first = StartPull();
  const auto second = StartPull();
  open_.EndAll();
  EXPECT_TRUE(first->has_ended);
  EXPECT_TRUE(second->has_ended);
  EXPECT_TRUE(absl::IsCancelled(second->failure)) << second->failure;
}

TEST_F(OpenPullsTest, APullThatBeginsAfterTheEndIsCancelled) {
  open_.EndAll();
  const auto pull = StartPull();
  open_.EndAll();
  EXPECT_TRUE(pull->has_ended);
}

// A pull that is tried again meanwhile.
TEST_F(OpenPullsTest, TheThreadThatEndsThemLetsGoOfCallsThatBeganLater) {
  open_.EndAll();
  auto call = std::make_shared<grpc::ClientContext>();
  const std::weak_ptr<grpc::ClientContext> seen = call;
  open_.Add(call);
  open_.Remove(std::move(call));
  EXPECT_FALSE(seen.expired());
  open_.EndAll();
  EXPECT_TRUE(seen.expired());
}

}  // namespace
}  // namespace tandem
