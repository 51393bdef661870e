// What a simulation is made from and what comes out of it: plain data.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/sim/request_path.h"
#include "scheduler/sim/sim_instance.h"
#include "scheduler/sim/slo_report.h"

namespace tandem {

// An instance dies, with all that is on it, and comes back empty.
struct SimFailure {
  absl::Duration time;  // after the start
  int instance = 0;     // in SimulationOptions::instances
  absl::Duration down = absl::Seconds(10);
};

struct SimulationOptions {
  std::vector<SimInstanceOptions> instances;
  uint64_t seed = 0;
  // Of a message between gateway, scheduler and workers, one way.
  absl::Duration network_delay = absl::ZeroDuration();
  // What was measured of a request's own messages; they then take so long instead.
  std::optional<RequestPath> path;
  absl::Duration heartbeat = absl::Milliseconds(100);
  // Of each instance's link, in each direction, for KV.
  double link_bytes_per_second = std::numeric_limits<double>::infinity();
  // The node that each instance stands on, from 0 on; empty: nodes do not matter. KV that leaves a
  // node goes over the link of that node, which its instances share, instead of their own.
  std::vector<int> nodes;
  double node_bytes_per_second = std::numeric_limits<double>::infinity();
  // KV travels layer by layer while it is computed. False: once the prompt is, and the decode
  // instance looks for room no earlier.
  bool layerwise = true;
  // How long a request whose worker was lost looks for another one.
  absl::Duration replay_timeout = absl::Seconds(15);
  // What clients allow an answer to have; it ends earlier, which no scheduler knows. 0: its length.
  int max_tokens = 0;
  // This share of the clients goes away, after a time of this mean.
  double cancel_share = 0;
  absl::Duration cancel_after = absl::Seconds(1);
  bool keep_token_gaps = true;  // in the records
  std::vector<SimFailure> failures;
  std::stop_token stop;  // ends a run at its next event

  absl::Duration ClientToScheduler() const { return path ? path->ingress : network_delay; }
  absl::Duration SchedulerToWorkers() const {
    return path ? path->route + path->network / 2 : 2 * network_delay;
  }
  absl::Duration WorkerToClient() const {
    return path ? path->network / 2 + path->detokenize : network_delay;
  }
  // From a prompt's last KV having been sent until the decode instance can go on with it.
  absl::Duration HandoffDelay() const {
    return path && path->kv_exposed ? std::max(*path->kv_exposed, network_delay) : network_delay;
  }

  // INVALID_ARGUMENT names what makes no sense.
  absl::Status Validate() const;

  // What the router is told that KV travels at: it knows one number, and no nodes.
  double SlowestLink() const;
};

// Where the time of served requests went, in sum.
struct StageTimes {
  absl::Duration route;          // client to worker
  absl::Duration prefill_queue;  // until the prompt's computation began
  absl::Duration prefill;        // until the first token
  absl::Duration transfer;       // until the decode worker had all KV, its wait for room included
  absl::Duration decode;         // until the last token

  absl::Duration Total() const { return route + prefill_queue + prefill + transfer + decode; }
  void Add(const StageTimes& other);
};

struct SimulationResult {
  bool was_stopped = false;            // then only what has ended has its record, and the rest of
                                       // this struct is not filled in
  std::vector<RequestRecord> records;  // in the order of the workload
  std::vector<SimInstanceTotals> instances;
  StageTimes stages;
  absl::Duration length;  // simulated
  int64_t num_events = 0;
  int64_t num_handoffs = 0;
  int64_t num_replays = 0;
  int64_t num_recomputes = 0;
  double transferred_bytes = 0;
  // Of every decision of routers and schedulers, with its time: equal ones mean equal runs.
  uint64_t digest = 0;
  // What must not be: blocks that are neither free nor cached at the end, requests without an end.
  std::vector<std::string> problems;
};

}  // namespace tandem
