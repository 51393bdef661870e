#include "server/gateway/sample_latency.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr absl::Time kArrival = absl::UnixEpoch();

absl::Time At(double ms) { return kArrival + absl::Milliseconds(ms); }

TEST(SampleLatencyTest, TokensThatShowAtOnceAreSeenAsTheyCome) {
  LatencyMeter meter(kArrival);
  meter.Take(1, /*has_text=*/true, At(10));
  EXPECT_EQ(meter.latency().ttft, absl::Milliseconds(10));
  EXPECT_EQ(meter.latency().tpot, absl::ZeroDuration());
  meter.Take(2, /*has_text=*/true, At(20));
  EXPECT_EQ(meter.latency().tpot, absl::Milliseconds(5));
  EXPECT_EQ(meter.latency().shown_ttft, absl::Milliseconds(10));
  EXPECT_EQ(meter.latency().shown_tpot, absl::Milliseconds(5));
}

TEST(SampleLatencyTest, AReaderWaitsForTheFirstText) {
  LatencyMeter meter(kArrival);
  meter.Take(1, /*has_text=*/false, At(10));
  meter.Take(1, /*has_text=*/true, At(16));
  meter.Take(1, /*has_text=*/true, At(20));
  EXPECT_EQ(meter.latency().ttft, absl::Milliseconds(10));
  EXPECT_EQ(meter.latency().tpot, absl::Milliseconds(5));
  EXPECT_EQ(meter.latency().shown_ttft, absl::Milliseconds(16));
  EXPECT_EQ(meter.latency().shown_tpot, absl::Milliseconds(2));
}

TEST(SampleLatencyTest, AnAnswerWithoutTextBeginsWithItsFirstToken) {
  LatencyMeter meter(kArrival);
  meter.Take(1, /*has_text=*/false, At(10));
  meter.Take(1, /*has_text=*/false, At(14));
  EXPECT_EQ(meter.latency().shown_ttft, absl::Milliseconds(10));
  EXPECT_EQ(meter.latency().shown_tpot, absl::Milliseconds(4));
}

TEST(SampleLatencyTest, TextThatWasHeldBackAddsNoToken) {
  LatencyMeter meter(kArrival);
  meter.Take(2, /*has_text=*/false, At(10));
  meter.Take(0, /*has_text=*/true, At(12));
  EXPECT_EQ(meter.latency().shown_ttft, absl::Milliseconds(12));
  EXPECT_EQ(meter.latency().tpot, absl::ZeroDuration());
}

}  // namespace
}  // namespace tandem
