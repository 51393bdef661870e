// The instances of a cluster as the Router sees them: what each last reported, with the work that
// was routed to it since, and in order of load.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/core/kv_layout.h"
#include "scheduler/instance_view.h"
#include "scheduler/speed_model.h"

namespace tandem {

// Work that was routed to an instance.
struct Dispatch {
  absl::Time time;
  // To prefill, of which KV is there already.
  PromptWork prompt;
  // To decode.
  int num_blocks = 0;
  int num_rows = 0;
  int num_context_tokens = 0;
};

// Owned by one thread. Instances have addresses that last until they are removed.
class InstanceTable {
 public:
  struct Kind;

  struct Instance {
    InstanceView view;
    int slot = 0;  // the smallest free number when it came
    absl::Time last_report;
    Kind* kind = nullptr;
    InstanceLoad load;        // of what is reported and dispatched
    int num_free_blocks = 0;  // likewise

    bool Usable() const { return view.healthy && !view.draining; }

   private:
    friend class InstanceTable;
    // That it has not reported yet, in order, since fractions add up to other bits in another one;
    // that it has, and decodes; that has ended, and was in the last report all the same.
    absl::btree_map<RequestId, Dispatch> dispatched_;
    absl::flat_hash_map<RequestId, Dispatch> reported_;
    std::vector<Dispatch> ended_;  // `time`: when
    bool is_ranked_ = false;       // in its kind's orders, at these places
    double prefill_ms_ = 0;
    double step_ms_ = 0;
  };

  // By what is ranked, then by id.
  using Rank = std::tuple<double, double, absl::string_view>;
  using Order = std::map<Rank, Instance*>;

  // Instances that compute alike, in equal times, on the same model. The orders hold the usable
  // ones.
  struct Kind {
    uint64_t model_hash = 0;
    KvLayout layout;
    std::string numerics;
    int num_instances = 0;
    SpeedModel speed;
    absl::Time last_step = absl::InfinitePast();  // was reported: the speed is as of then
    Order by_wait;  // those that prefill: time until a prompt of one step would have its token
    Order by_step;  // those that decode: time of a step, then most free blocks
    Order by_room;  // those that decode: most free blocks
  };
  using Kinds = std::map<std::tuple<uint64_t, std::string, std::string, std::string>, Kind>;

  // What was dispatched less than `report_lag` before a report may not be in the report yet.
  explicit InstanceTable(absl::Duration report_lag) : report_lag_(report_lag) {}

  // A new instance, or news of a known one. A new epoch: what was dispatched to the old one is
  // forgotten.
  Instance& Update(const InstanceView& view, absl::Time now);
  void Remove(const InstanceId& id);
  Instance* Find(const InstanceId& id);

  void Add(Instance* instance, RequestId request, const Dispatch& dispatch);
  // Takes back what the request counts for, anywhere, reported or not.
  void Complete(RequestId request);

  const std::map<InstanceId, Instance>& instances() const { return instances_; }
  // Null where nobody has the slot.
  Instance* at_slot(int slot) const { return slots_[slot]; }
  const Kinds& kinds() const { return kinds_; }
  // Block sizes of present instances.
  const std::map<int, int>& num_by_block_size() const { return num_by_block_size_; }

 private:
  void Enter(Instance* instance);
  void Join(const InstanceView& view, Instance* instance);  // the kind
  void Leave(Instance* instance);
  void Drop(Instance* instance, RequestId request);
  // What of the routed work is in a report of `now`, and what is in none any more.
  void TakeReported(Instance* instance, absl::Time now);
  void Forget(Instance* instance);
  // Whatever it changes about an instance's load stands between these.
  static void Unrank(Instance* instance);
  static void Rerank(Instance* instance);

  const absl::Duration report_lag_;
  std::map<InstanceId, Instance> instances_;
  std::vector<Instance*> slots_;
  std::set<int> free_slots_;
  Kinds kinds_;
  std::map<int, int> num_by_block_size_;
  absl::Time latest_ = absl::InfinitePast();  // that anybody has told
  // Where requests are.
  absl::flat_hash_map<RequestId, absl::InlinedVector<Instance*, 2>> places_;
};

}  // namespace tandem
