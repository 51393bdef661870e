// The choice of workers by predicted time to first token and time per token.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/instance_table.h"
#include "scheduler/prefix_index.h"
#include "scheduler/route.h"

namespace tandem {

// The workers of a request, and what to expect of them. In milliseconds.
struct RouteChoice {
  InstanceTable::Instance* prefill = nullptr;
  InstanceTable::Instance* decode = nullptr;  // the same: no handoff
  int num_cached = 0;                         // tokens of the prompt that `prefill` has
  double ttft_ms = 0;
  double tpot_ms = 0;
  // Of the answer, and of what others lose by it: less is better.
  double cost_ms = 0;
  bool is_predicted = false;  // by what the instances have reported, not guessed
};

// One choice. Looks at, of each kind of instance, the least loaded few, and at the few that hold
// most of the prompt: its time grows with the logarithm of the number of instances. Changes
// nothing; the same state gives the same choice.
class RouteChooser {
 public:
  struct Cluster {
    const InstanceTable& instances;
    const PrefixIndex& prefixes;
    double kv_bytes_per_second = 0;
  };

  // All outlive it.
  RouteChooser(const Cluster& cluster, const RouteRequest& request);

  // See Router::Route. UNAVAILABLE names what is missing.
  absl::StatusOr<RouteChoice> Choose() const;

  // A decode instance that prefills the prompt itself while no instance is there to do it; without
  // instances where there is none, or where others could prefill.
  RouteChoice ChooseFallback() const;

 private:
  using Instance = InstanceTable::Instance;

  // An instance that prefills, whatever comes after it.
  struct Prefill {
    Instance* instance = nullptr;
    int num_cached = 0;
    double compute_ms = 0;  // of the prompt
    double ttft_ms = 0;     // with the queue before it
    double delay_ms = 0;    // of those that decode there
  };

  absl::StatusOr<RouteChoice> ChooseHandoff() const;
  // Without instances where no decode instance can prefill for itself.
  RouteChoice ChooseLocal() const;
  std::vector<Prefill> RankPrefills() const;
  // Without a decode instance when none can take the KV of `prefill`; `reason` then says why the
  // last could not.
  RouteChoice ChooseDecode(const Prefill& prefill, std::string* reason) const;
  std::vector<Instance*> DecodesFor(const Instance& prefill, std::string* reason) const;

  Prefill MakePrefill(Instance* instance) const;
  RouteChoice MakeChoice(const Prefill& prefill, Instance* decode) const;

  void FindNearest();
  // Tokens of the prompt whose KV the instance holds.
  int NumCached(const Instance& instance) const;
  bool AnyPrefills() const;
  absl::Status WhyUnavailable(const std::string& pairing_reason) const;

  const Cluster cluster_;
  const RouteRequest& request_;
  // Those of the prompt's keys that anybody holds, by block size.
  std::vector<std::pair<int, absl::Span<const uint64_t>>> known_keys_;
  std::vector<Instance*> nearest_;  // most of the prompt first
};

// The targets of the request are missed, as far as can be told.
bool MissesTarget(const RouteChoice& choice, const RouteRequest& request);

// Its numerics are not those that the request asks for.
bool Differs(const InstanceView& view, const RouteRequest& request);

}  // namespace tandem
