#include "scheduler/sim/fabric.h"

#include <gtest/gtest.h>

#include <limits>

namespace tandem {
namespace {

class FabricTest : public testing::Test {
 protected:
  // Seconds at which all of a flow was through.
  std::function<void()> Into(double* at) {
    return [this, at] { *at = absl::ToDoubleSeconds(queue_.now() - absl::UnixEpoch()); };
  }
  void RunAll() {
    while (queue_.RunNext()) {
    }
  }

  EventQueue queue_{absl::UnixEpoch()};
  double first_ = -1, second_ = -1;
};

TEST_F(FabricTest, AFlowAloneHasTheWholeLink) {
  Fabric fabric(std::vector<double>(2, 100), &queue_);
  fabric.Send(fabric.Open(0, 1, Into(&first_)), 250);
  RunAll();
  EXPECT_NEAR(first_, 2.5, 1e-6);
  EXPECT_NEAR(fabric.bytes_sent(), 250, 1e-3);
}

TEST_F(FabricTest, FlowsOfOneLinkShareItAndTheLastHasItAlone) {
  Fabric fabric(std::vector<double>(3, 100), &queue_);
  fabric.Send(fabric.Open(0, 1, Into(&first_)), 100);
  fabric.Send(fabric.Open(0, 2, Into(&second_)), 200);
  RunAll();
  EXPECT_NEAR(first_, 2, 1e-6);
  EXPECT_NEAR(second_, 3, 1e-6);
}

TEST_F(FabricTest, FlowsOfOtherLinksDoNotMeet) {
  Fabric fabric(std::vector<double>(4, 100), &queue_);
  fabric.Send(fabric.Open(0, 1, Into(&first_)), 100);
  fabric.Send(fabric.Open(2, 3, Into(&second_)), 100);
  RunAll();
  EXPECT_NEAR(first_, 1, 1e-6);
  EXPECT_NEAR(second_, 1, 1e-6);
}

TEST_F(FabricTest, TheSlowerOfTheTwoLinksDecides) {
  Fabric fabric({100, 10, 100}, &queue_);
  fabric.Send(fabric.Open(0, 1, Into(&first_)), 100);
  fabric.Send(fabric.Open(0, 2, Into(&second_)), 100);
  RunAll();
  EXPECT_NEAR(first_, 10, 1e-6);
  EXPECT_NEAR(second_, 2, 1e-6) << "what the first cannot use is not given to it";
}

TEST_F(FabricTest, AFlowKeepsToItsOwnLimitUntilMoreIsSent) {
  Fabric fabric(std::vector<double>(2, 100), &queue_);
  const Fabric::FlowId flow = fabric.Open(0, 1, Into(&first_));
  fabric.Send(flow, 100, 10);
  queue_.After(absl::Seconds(4), [&] {
    EXPECT_NEAR(fabric.Remaining(flow), 60, 1e-3);
    fabric.Send(flow, 40);
  });
  RunAll();
  EXPECT_NEAR(first_, 5, 1e-6);
}

TEST_F(FabricTest, AnUnlimitedLinkTakesNoTime) {
  Fabric fabric(std::vector<double>(2, std::numeric_limits<double>::infinity()), &queue_);
  fabric.Send(fabric.Open(0, 1, Into(&first_)), 1e12);
  RunAll();
  EXPECT_EQ(first_, 0);
}

TEST_F(FabricTest, AClosedFlowNeverArrivesAndGivesItsShareBack) {
  Fabric fabric(std::vector<double>(3, 100), &queue_);
  const Fabric::FlowId closed = fabric.Open(0, 1, Into(&first_));
  fabric.Send(closed, 100);
  fabric.Send(fabric.Open(0, 2, Into(&second_)), 100);
  queue_.After(absl::Seconds(1), [&] { fabric.Close(closed); });
  RunAll();
  EXPECT_EQ(first_, -1);
  EXPECT_NEAR(second_, 1.5, 1e-6);
}

}  // namespace
}  // namespace tandem
