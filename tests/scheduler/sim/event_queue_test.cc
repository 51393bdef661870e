#include "scheduler/sim/event_queue.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem {
namespace {

TEST(EventQueueTest, RunsInOrderOfTimeThenOfPlanning) {
  EventQueue queue(absl::UnixEpoch());
  std::vector<int> order;
  queue.After(absl::Seconds(2), [&] { order.push_back(3); });
  queue.After(absl::Seconds(1), [&] {
    order.push_back(1);
    queue.After(absl::ZeroDuration(), [&] { order.push_back(2); });
    queue.After(absl::Seconds(1), [&] { order.push_back(4); });
  });
  while (queue.RunNext()) {
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(queue.now(), absl::UnixEpoch() + absl::Seconds(2));
}

TEST(EventQueueTest, ThePastIsNow) {
  EventQueue queue(absl::UnixEpoch());
  queue.At(absl::UnixEpoch() - absl::Hours(1), [] {});
  EXPECT_TRUE(queue.RunNext());
  EXPECT_EQ(queue.now(), absl::UnixEpoch());
  EXPECT_FALSE(queue.RunNext());
}

}  // namespace
}  // namespace tandem
