#include "scheduler/planner/traffic_profile.h"

#include <gtest/gtest.h>

#include <utility>

namespace tandem {
namespace {

using Kind = TrafficOutcome::Kind;

const absl::Time kStart = absl::FromUnixSeconds(1000);

absl::Time At(int second) { return kStart + absl::Seconds(second); }

TrafficRequest Arrival(uint64_t id, int second) {
  return {.id = RequestId(id), .arrival = At(second), .prompt_tokens = 10};
}

std::vector<uint64_t> Ids(const TrafficWindow& window) {
  std::vector<uint64_t> ids;
  for (const TrafficRequest& request : window.requests) ids.push_back(request.id.value());
  return ids;
}

TEST(TrafficProfileTest, ShowsWhatArrivedWithinTheWindow) {
  TrafficProfile profile;
  for (int i = 0; i < 10; ++i) profile.Arrive(Arrival(i + 1, i));
  const TrafficWindow window = profile.Recent({.length = absl::Seconds(3), .now = At(8)});
  EXPECT_EQ(Ids(window), (std::vector<uint64_t>{6, 7, 8}));
  EXPECT_EQ(window.Length(), absl::Seconds(3));
}

TEST(TrafficProfileTest, AWindowBeginsNoEarlierThanTheFirstArrival) {
  TrafficProfile profile;
  EXPECT_EQ(profile.Recent({.length = absl::Hours(1), .now = kStart}).Length(),
            absl::ZeroDuration());
  profile.Arrive(Arrival(1, 5));
  const TrafficWindow window = profile.Recent({.length = absl::Hours(1), .now = At(9)});
  EXPECT_EQ(window.begin, At(5));
  EXPECT_EQ(window.end, At(9));
}

TEST(TrafficProfileTest, ArrivalsAreKeptInOrder) {
  TrafficProfile profile;
  for (const int second : {0, 5, 3, 6}) profile.Arrive(Arrival(second + 1, second));
  const TrafficWindow window = profile.Recent({.length = absl::Hours(1), .now = At(7)});
  EXPECT_EQ(Ids(window), (std::vector<uint64_t>{1, 6, 4, 7}));
  EXPECT_EQ(window.requests[2].arrival, At(5));
}

TEST(TrafficProfileTest, OutcomesFindTheirRequests) {
  TrafficProfile profile;
  profile.Arrive(Arrival(1, 0));
  profile.Arrive(Arrival(2, 1));
  profile.End(RequestId(2), {.kind = Kind::kServed, .output_tokens = 5});
  profile.End(RequestId(9), {.kind = Kind::kServed});
  profile.End(RequestId(2), {.kind = Kind::kFailed});
  const TrafficWindow window = profile.Recent({.length = absl::Seconds(9), .now = At(2)});
  EXPECT_EQ(window.requests[0].outcome.kind, Kind::kUnderWay);
  EXPECT_EQ(window.requests[1].outcome.kind, Kind::kServed) << "it has ended once";
  EXPECT_EQ(window.requests[1].outcome.output_tokens, 5);
}

TEST(TrafficProfileTest, TheOldestMakeRoomAndTheWindowIsShorter) {
  TrafficProfile profile({.max_requests = 3});
  for (int i = 0; i < 6; ++i) profile.Arrive(Arrival(i + 1, i));
  profile.End(RequestId(1), {.kind = Kind::kServed});
  profile.End(RequestId(5), {.kind = Kind::kServed});
  const TrafficWindow window = profile.Recent({.length = absl::Hours(1), .now = At(6)});
  EXPECT_EQ(Ids(window), (std::vector<uint64_t>{4, 5, 6}));
  EXPECT_EQ(window.begin, At(3));
  EXPECT_EQ(window.requests[1].outcome.kind, Kind::kServed);
}

TEST(TrafficProfileTest, PrefixKeysAreBounded) {
  TrafficProfile profile({.max_prefix_keys = 10});
  for (int i = 0; i < 4; ++i) {
    TrafficRequest request = Arrival(i + 1, i);
    request.prefixes = {.block_size = 16, .keys = {1, 2, 3, 4}};
    profile.Arrive(std::move(request));
  }
  EXPECT_EQ(Ids(profile.Recent({.length = absl::Hours(1), .now = At(4)})),
            (std::vector<uint64_t>{3, 4}));
}

TEST(TrafficProfileTest, ALimitOnRequestsTakesTheLatest) {
  TrafficProfile profile;
  for (int i = 0; i < 6; ++i) profile.Arrive(Arrival(i + 1, i));
  const TrafficWindow window =
      profile.Recent({.length = absl::Hours(1), .now = At(6), .max_requests = 2});
  EXPECT_EQ(Ids(window), (std::vector<uint64_t>{5, 6}));
  EXPECT_EQ(window.Length(), absl::Seconds(2));
}

TEST(TrafficProfileTest, AWindowIsCutByTimeOrCount) {
  TrafficProfile profile;
  for (int i = 0; i < 6; ++i) profile.Arrive(Arrival(i + 1, i));
  const TrafficWindow window = profile.Recent({.length = absl::Hours(1), .now = At(6)});
  EXPECT_EQ(Ids(window.Before(At(2))), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(window.Before(At(2)).Length(), absl::Seconds(2));
  EXPECT_EQ(Ids(window.After(At(2))), (std::vector<uint64_t>{3, 4, 5, 6}));
  EXPECT_EQ(window.After(At(2)).Length(), absl::Seconds(4));
  EXPECT_EQ(window.After(At(50)).Length(), absl::ZeroDuration());
  EXPECT_EQ(Ids(window.Latest(2)), (std::vector<uint64_t>{5, 6}));
  EXPECT_EQ(Ids(window.Latest(20)), Ids(window));
}

}  // namespace
}  // namespace tandem
