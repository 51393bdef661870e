#include "server/gateway/executor.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"

namespace tandem {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

class EventLoopTest : public ::testing::Test {
 protected:
  EventLoopTest() { EXPECT_TRUE(event_loop_.Start().ok()); }

  EventLoop event_loop_{1};  // so that all strands are of one thread
};

TEST_F(EventLoopTest, LongWorkHoldsUpNoStrand) {
  const std::shared_ptr<Strand> strand = event_loop_.NewStrand();
  absl::Notification other_ran;
  absl::Notification done;
  bool waited = false;
  strand->Post([&] {
    event_loop_.Compute(
        /*is_long=*/true, strand,
        [&] { return other_ran.WaitForNotificationWithTimeout(kPatience); },
        [&](bool result) {
          waited = result;
          done.Notify();
        });
  });
  event_loop_.NewStrand()->Post([&] { other_ran.Notify(); });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_TRUE(waited);
}

TEST_F(EventLoopTest, ItsResultComesBackToTheStrand) {
  const std::shared_ptr<Strand> strand = event_loop_.NewStrand();
  std::thread::id strand_thread, work_thread, result_thread;
  absl::Notification done;
  strand->Post([&] {
    strand_thread = std::this_thread::get_id();
    event_loop_.Compute(
        /*is_long=*/true, strand,
        [&] {
          work_thread = std::this_thread::get_id();
          return 0;
        },
        [&](int) {
          result_thread = std::this_thread::get_id();
          done.Notify();
        });
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_NE(work_thread, strand_thread);
  EXPECT_EQ(result_thread, strand_thread);
}

TEST_F(EventLoopTest, ShortWorkIsDoneAtOnce) {
  bool is_done = false;
  event_loop_.Compute(
      /*is_long=*/false, nullptr, [] { return 7; }, [&](int result) { is_done = result == 7; });
  EXPECT_TRUE(is_done);
}

TEST_F(EventLoopTest, RunsNothingAfterItHasStopped) {
  const std::shared_ptr<Strand> strand = event_loop_.NewStrand();
  event_loop_.Stop();
  bool ran = false;
  event_loop_.Compute(
      /*is_long=*/true, strand, [&ran] { return ran = true; }, [&ran](bool) { ran = true; });
  strand->Post([&ran] { ran = true; });
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace tandem
