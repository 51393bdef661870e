#include "server/worker/step_loop.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/synchronization/notification.h"
#include "tests/server/worker/worker_fixture.h"

namespace tandem {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

class Sink : public RequestSink {
 public:
  void OnRefused(const absl::Status& status) override { FAIL() << status; }
  void OnEvents(absl::Span<const Event> events, const EventTime&) override {
    for (const Event& event : events) {
      if (event.kind == EventKind::kToken) token_.Notify();
    }
  }
  void OnLeave() override {}

  bool AwaitToken() { return token_.WaitForNotificationWithTimeout(kPatience); }

 private:
  absl::Notification token_;
};

class StepLoopTest : public testing::Test {
 protected:
  StepLoopTest() {
    runner_ = *ModelRunner::Create({.model_path = kTinyCheckpoint, .kv_cache_bytes = 4 << 20});
    auto scheduler = *InstanceScheduler::Create({.num_blocks = runner_->kv_cache().num_blocks(),
                                                 .max_model_len = runner_->max_model_len(),
                                                 .lease = absl::Hours(1)});
    loop_ = std::make_unique<StepLoop>(std::move(scheduler), runner_.get(), StepLoop::Options());
  }

  // Its KV is kept for another worker, which never comes.
  void SubmitPrompt() {
    Request request;
    request.id = RequestId(1);
    request.prompt = {3, 4, 5};
    request.sampling.max_tokens = 2;
    request.hand_off = true;
    EXPECT_TRUE(loop_->Submit({.request = std::move(request), .sink = sink_}).ok());
  }

  std::unique_ptr<ModelRunner> runner_;
  std::unique_ptr<StepLoop> loop_;
  const std::shared_ptr<Sink> sink_ = std::make_shared<Sink>();
};

TEST_F(StepLoopTest, LetsGoOfRequestsThatAreNotOverWhenItStops) {
  loop_->Start();
  SubmitPrompt();
  ASSERT_TRUE(sink_->AwaitToken());
  loop_->Stop();
  EXPECT_EQ(sink_.use_count(), 1);
}

TEST_F(StepLoopTest, LetsGoOfWhatItHasNotDoneWhenItStops) {
  SubmitPrompt();  // it has not started
  loop_->Stop();
  EXPECT_EQ(sink_.use_count(), 1);
}

TEST_F(StepLoopTest, IsNotIdleWhileARequestWaitsInItsInbox) {
  EXPECT_TRUE(loop_->Stats(absl::Now()).idle);
  SubmitPrompt();  // it has not started
  EXPECT_FALSE(loop_->Stats(absl::Now()).idle);
}

}  // namespace
}  // namespace tandem
