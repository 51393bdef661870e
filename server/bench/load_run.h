// Sends a workload in an open loop: each request at its time, whatever became of earlier ones.
//
//   LoadRun run(workload, {.make_client = ..., .prompts = ...});
//   while (!run.Wait(absl::Milliseconds(100))) Show(run.counts());
//   std::vector<RequestRecord> records = run.TakeRecords();
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "boost/asio/io_context.hpp"
#include "scheduler/sim/slo_report.h"
#include "scheduler/sim/workload.h"
#include "server/bench/client.h"
#include "server/bench/prompt_maker.h"

namespace tandem {

using ClientFactory = std::function<std::unique_ptr<Client>(boost::asio::io_context&)>;

struct LoadRunOptions {
  ClientFactory make_client;  // once for each thread
  PromptOptions prompts;
  bool wants_text = false;    // prompts as words instead of tokens
  bool names_targets = true;  // Ask::names_targets
  int num_threads = 1;
  SloTargets targets;
  // Ends the run early once more requests than this have missed a target, failed or been shed:
  // those that are open then fail, the rest is not sent.
  int64_t max_misses = std::numeric_limits<int64_t>::max();
};

// What a run has done so far.
struct LoadCounts {
  int64_t sent = 0, served = 0, good = 0, failed = 0, shed = 0;

  int64_t ended() const { return served + failed + shed; }
  int64_t open() const { return sent - ended(); }
};

class LoadRun {
 public:
  // Begins at once; `workload` outlives the run. The first request is prepared before the clock
  // starts, so that an arrival at zero is on time.
  LoadRun(const Workload& workload, const LoadRunOptions& options);
  ~LoadRun();  // Stops it.
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  // Whether the run has ended, after waiting for that as long as `timeout`.
  bool Wait(absl::Duration timeout);

  // Gives up what is open and sends no more; the run ends soon. Any thread.
  void Stop();

  LoadCounts counts() const;
  absl::Time started() const { return started_; }

  // Whether it was ended early, by Stop or by max_misses.
  bool was_stopped() const { return is_stopping_.load(); }

  // Processor time of this process during the run as a share of the time that passed: 1 is one
  // core. Call after it has ended.
  double cpu_share() const { return cpu_share_; }

  // Of the requests that were sent, in the order of the workload. Call once, after it has ended.
  std::vector<RequestRecord> TakeRecords();

 private:
  class Lane;
  struct AtomicCounts {
    std::atomic<int64_t> sent{0}, served{0}, good{0}, failed{0}, shed{0};
  };

  void Count(const RequestRecord& record);
  void OnLaneEnd();

  const Workload& workload_;
  const LoadRunOptions options_;
  const PromptMaker prompts_;
  const absl::Time started_;
  BenchClock::time_point start_;
  std::vector<RequestRecord> records_;  // one for each request; each of one lane's thread
  AtomicCounts counts_;
  std::atomic<bool> is_stopping_{false};
  std::atomic<int> num_running_lanes_;
  double cpu_at_start_ = 0;
  double cpu_share_ = 0;
  absl::Notification ended_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace tandem
