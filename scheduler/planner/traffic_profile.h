// What clients have asked for lately, and what became of it: a sliding window of requests, kept
// for replays.
//
//   profile.Arrive(id, {.arrival = now, .prompt_tokens = 512, ...});
//   profile.End(id, {.kind = TrafficOutcome::Kind::kServed, .output_tokens = 64, ...});
//   const TrafficWindow window = profile.Recent({.length = absl::Minutes(5), .now = now});
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "scheduler/route.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

struct TrafficOutcome {
  // kCancelled: by the client, so that nobody knows whether it would have been served.
  enum class Kind { kUnderWay, kServed, kFailed, kCancelled };

  Kind kind = Kind::kUnderWay;
  // Of a served one, as the gateway measured it.
  int output_tokens = 0;
  int cached_tokens = 0;  // of the prompt
  absl::Duration ttft;
  absl::Duration tpot;  // zero for one token
};

struct TrafficRequest {
  RequestId id;  // of refused ones zero
  absl::Time arrival;
  int prompt_tokens = 0;
  int max_tokens = 0;       // of the answer; 0: not known
  SloTargets targets;       // its own; may be empty
  std::string slo_class;    // by name
  PromptPrefixes prefixes;  // of one block size; may be empty
  TrafficOutcome outcome;
};

// The requests that arrived within [begin, end), in order of arrival.
struct TrafficWindow {
  absl::Time begin, end;
  std::vector<TrafficRequest> requests;

  absl::Duration Length() const { return end - begin; }
  // The part from `from` on.
  TrafficWindow After(absl::Time from) const;
  // The part before `until`.
  TrafficWindow Before(absl::Time until) const;
  // The part that begins with the last `num_requests`; all where there are fewer.
  TrafficWindow Latest(int num_requests) const;
};

struct TrafficQuestion {
  absl::Duration length;
  absl::Time now;
  int max_requests = 5000;  // the latest; the window is then as much shorter
};

// Passive; one owner at a time. Memory is bounded: what is oldest makes room, and the window is
// shorter then.
class TrafficProfile {
 public:
  struct Options {
    int max_requests = 20000;
    int64_t max_prefix_keys = 1 << 20;  // of all requests; 8 bytes each
  };

  TrafficProfile() = default;
  explicit TrafficProfile(const Options& options) : options_(options) {}

  // A request that is told of after a later one counts as having come with it. One that was refused
  // has its outcome already.
  void Arrive(TrafficRequest request);

  // Ids that are not known, any more or at all, are ignored.
  void End(RequestId id, const TrafficOutcome& outcome);

  // Begins no earlier than the first arrival ever: before that nobody looked.
  TrafficWindow Recent(const TrafficQuestion& question) const;

 private:
  void DropOldest();

  const Options options_ = {};
  std::deque<TrafficRequest> requests_;
  int64_t num_dropped_ = 0;
  int64_t num_prefix_keys_ = 0;
  absl::Time begin_ = absl::InfiniteFuture();          // all that arrived since is in requests_
  absl::flat_hash_map<RequestId, int64_t> under_way_;  // number since the start
};

}  // namespace tandem
