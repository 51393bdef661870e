// Which workers serve a request: the view of the cluster and the choice by least predicted work.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/core/kv_layout.h"

namespace tandem {

enum class InstanceRole { kPrefill, kDecode, kMixed };

// "prefill", "decode", "mixed".
absl::string_view InstanceRoleName(InstanceRole role);

// One instance as it was when it last reported.
struct InstanceView {
  InstanceId id;
  InstanceRole role = InstanceRole::kMixed;
  uint64_t epoch = 0;   // random per start
  std::string address;  // host:port
  uint64_t model_hash = 0;
  std::string numerics;  // instances of equal ones give equal tokens
  KvLayout layout;

  int num_free_blocks = 0;
  int64_t num_queued_tokens = 0;  // prompt tokens still to be computed
  int num_requests = 0;           // decoding, receiving or announced
  bool healthy = true;
  bool draining = false;  // finishes what it has, takes nothing new
};

struct RouteRequest {
  int num_prompt_tokens = 0;
  // A further attempt at a request that was routed before: its id is kept. Absent: a new request.
  std::optional<RequestId> replay_of = std::nullopt;
  uint32_t attempt = 0;
  // Instances that have failed this request, each in the epoch in which it did.
  std::vector<std::pair<InstanceId, uint64_t>> avoid = {};
  // Those of the first attempt, which a further one should share; empty: any.
  std::string numerics = "";
};

struct RouteTarget {
  InstanceId id;
  std::string address;
  uint64_t epoch = 0;
};

struct RouteDecision {
  RequestId request;
  uint32_t attempt = 0;
  std::optional<RouteTarget> prefill;  // absent: `decode` prefills it itself
  RouteTarget decode;
  // Why the request goes another way than it should: "no_prefill_worker", or empty.
  std::string fallback;
  std::string numerics;  // of the request from now on
  bool inexact = false;  // not all have the numerics that were asked for
};

struct RouterOptions {
  uint64_t seed = 0;  // of request ids; random per start, or ids of two starts collide
  // An instance that has not reported for this long is taken out.
  absl::Duration heartbeat_timeout = absl::Seconds(3);
  // What was routed less than this before a report may not be in the report yet: it takes the way
  // to the gateway, to the worker, and back to here.
  absl::Duration report_lag = absl::Milliseconds(20);
};

// Single-threaded, passive; the same calls give the same decisions. Work counts from the moment of
// the decision on: a burst is spread although no worker has reported any of it yet.
class Router {
 public:
  explicit Router(const RouterOptions& options);

  // A new instance, or news of a known one. A new epoch is a restart: what was routed to the old
  // one does not count any more.
  void Update(const InstanceView& view, absl::Time now);

  // Unknown ids are ignored.
  void Remove(const InstanceId& id);

  // Takes out the instances whose heartbeats have stopped, and returns them.
  std::vector<InstanceId> Tick(absl::Time now);

  // Prefill goes to the prefill or mixed instance with the fewest queued prompt tokens among those
  // whose KV some decode instance can take. From a prefill instance the KV goes to a decode or
  // mixed one, from a mixed one to a decode instance or nowhere: among them, to one with room for
  // the prompt, with the fewest requests, of prefill's numerics, with the most free blocks. Ties go
  // to the lower id. A further attempt prefers, before all this, instances of the first one's
  // numerics.
  // While no instance can prefill, a decode instance does it for itself, and the decision says so.
  // UNAVAILABLE names what is missing.
  absl::StatusOr<RouteDecision> Route(const RouteRequest& request, absl::Time now);

  // The request has left its workers: takes back what it still counts for. Unknown ids are ignored.
  void Complete(RequestId id);

  // OK when Route would find workers for their own work, else what is missing.
  absl::Status CheckServable() const;

  // By id, as last reported.
  std::vector<InstanceView> Instances() const;

 private:
  // Work that was routed to an instance and that it has not reported yet.
  struct Dispatch {
    absl::Time time;
    int num_prefill_tokens = 0;
    int num_decode_blocks = 0;
    int num_decode_requests = 0;
  };
  struct Instance {
    InstanceView view;
    absl::Time last_report;
    absl::flat_hash_map<RequestId, Dispatch> dispatched;
    Dispatch sum;  // of `dispatched`
  };
  struct Choice {
    const Instance* prefill = nullptr;
    const Instance* decode = nullptr;  // the same: no handoff
  };

  static bool Usable(const InstanceView& view) { return view.healthy && !view.draining; }
  static bool Usable(const InstanceView& view, const RouteRequest& request);
  static bool Differs(const InstanceView& view, const RouteRequest& request);
  void AddDispatch(const InstanceId& instance, RequestId id, const Dispatch& dispatch);
  static void DropDispatch(Instance* instance, RequestId id);
  absl::StatusOr<Choice> Choose(const RouteRequest& request) const;
  bool AnyPrefills(const RouteRequest& request) const;
  // Null when no instance can take the KV of `prefill`; `reason` then says why the last could not.
  // Without `prefill`: a decode instance that is to prefill the prompt itself.
  const Instance* ChooseDecode(const Instance* prefill, const RouteRequest& request,
                               std::string* reason) const;
  absl::Status WhyUnavailable(const RouteRequest& request, const std::string& pairing_reason) const;
  RequestId NewRequestId();

  const RouterOptions options_;
  std::mt19937_64 random_;
  std::map<InstanceId, Instance> instances_;
};

}  // namespace tandem
