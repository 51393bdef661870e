// How the load tester asks a server, whatever the protocol.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

// The clock of all latencies: it never jumps.
using BenchClock = std::chrono::steady_clock;

inline absl::Duration TimeSince(BenchClock::time_point start) {
  return absl::FromChrono(BenchClock::now() - start);
}

// What is asked.
struct Ask {
  std::string id;
  std::vector<uint32_t> tokens;  // the prompt, unless `text` is used
  std::string text;
  int output_tokens = 1;
  std::string model;  // empty: the client's default
  std::string slo_class, tenant;
  int priority = 0;
  bool names_targets = true;  // false: neither a class nor targets are told to the server
};

// One request on its way. Used in the thread of its client's io_context alone.
class Exchange {
 public:
  using Done = std::function<void()>;

  virtual ~Exchange() = default;

  // Sends the request; its latencies count from now. Once it has ended, which is never within this
  // call, writes outcome, error, latencies and token counts to `record`, whose other fields it
  // leaves alone, and calls `done` once. `record` lives until then.
  virtual void Start(RequestRecord& record, Done done) = 0;

  // Gives a request up that was started: it fails with `reason`, unless it has just ended.
  virtual void Cancel(const std::string& reason) = 0;
};

// Used in the thread of its io_context alone.
class Client {
 public:
  virtual ~Client() = default;

  // Does what takes time before the moment of sending, such as writing JSON.
  virtual std::shared_ptr<Exchange> Prepare(const Ask& ask) = 0;
};

}  // namespace tandem
