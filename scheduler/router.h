// Which workers serve a request: the choice by predicted time to first token and time per token.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "scheduler/instance_table.h"
#include "scheduler/instance_view.h"
#include "scheduler/prefix_index.h"
#include "scheduler/route.h"
#include "scheduler/route_chooser.h"

namespace tandem {

struct RouterOptions {
  uint64_t seed = 0;  // of request ids; random per start, or ids of two starts collide
  // An instance that has not reported for this long is taken out.
  absl::Duration heartbeat_timeout = absl::Seconds(3);
  // What was routed less than this before a report may not be in the report yet: it takes the way
  // to the gateway, to the worker, and back to here.
  absl::Duration report_lag = absl::Milliseconds(20);
  // At which KV travels between two instances.
  double kv_bytes_per_second = 1e9;
  // Nobody is refused for a speed that was seen longer ago: it may have been a bad moment, and
  // where all are refused there are no steps to learn better from.
  absl::Duration speed_expires = absl::Seconds(30);
  // Of prefixes and the instances that hold them; see PrefixIndex.
  int64_t max_prefix_entries = 4 << 20;
};

// Single-threaded, passive; the same calls give the same decisions. Work counts from the moment of
// the decision on: a burst is spread although no worker has reported any of it yet.
class Router {
 public:
  explicit Router(const RouterOptions& options);

  // A new instance, or news of a known one. A new epoch is a restart: what was routed to the old
  // one does not count any more, and its prefixes are gone.
  void Update(const InstanceView& view, absl::Time now);

  // What an instance's prefix cache holds from now on. Unknown ids are ignored.
  void UpdatePrefixes(const InstanceId& id, const PrefixChanges& changes);

  // Unknown ids are ignored.
  void Remove(const InstanceId& id);

  // Takes out the instances whose heartbeats have stopped, and returns them.
  std::vector<InstanceId> Tick(absl::Time now);

  // Prefill goes to the prefill or mixed instance that is predicted to have the first token first,
  // among those whose KV some decode instance can take: its queue, and what it lacks of the prompt.
  // From a prefill instance the KV goes to a decode or mixed one, from a mixed one to a decode
  // instance or nowhere: among them, to one with room for the prompt, where what it lacks arrives
  // and the next tokens are predicted to come soonest, then to one of prefill's numerics, then to
  // that with the most free blocks. A decode instance that holds the prompt's beginning prefills
  // the rest itself, between its steps, where that is predicted to be faster, the delay of those
  // that decode there counted. Ties go to the lower id. A further attempt prefers, before all this,
  // instances of the first one's numerics.
  // Instances of a kind that has not reported its speed yet are compared by queued tokens and
  // requests; then nothing is predicted, and no decode instance prefills.
  // While no instance can prefill, a decode instance does it for itself, and the decision says so.
  // UNAVAILABLE names what is missing. RESOURCE_EXHAUSTED: a new request that would rather be
  // refused is predicted to miss a target wherever it goes; the message names both times.
  absl::StatusOr<RouteDecision> Route(const RouteRequest& request, absl::Time now);

  // The request has left its workers: takes back what it still counts for. Unknown ids are ignored.
  void Complete(RequestId id) { table_.Complete(id); }

  // OK when Route would find workers for their own work, else what is missing.
  absl::Status CheckServable() const;

  // By id, as last reported.
  std::vector<InstanceView> Instances() const;
  // One of them, until it reports again; null where the id is unknown.
  const InstanceView* Find(const InstanceId& id) const;

 private:
  RouteChooser::Cluster Cluster() const {
    return {table_, prefixes_, options_.kv_bytes_per_second};
  }
  // RESOURCE_EXHAUSTED: see Route.
  absl::Status CheckTargets(const RouteChoice& choice, const RouteRequest& request,
                            absl::Time now) const;
  RequestId Dispatch(const RouteChoice& choice, const RouteRequest& request, absl::Time now);
  RequestId NewRequestId();

  const RouterOptions options_;
  std::mt19937_64 random_;
  InstanceTable table_;
  PrefixIndex prefixes_;
};

}  // namespace tandem
