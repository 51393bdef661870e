// The network between simulated instances: flows share the links of their two ends.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/sim/event_queue.h"

namespace tandem {

// Each end sends over one link and receives over another. A flow gets an equal share of each of its
// two links among the flows that have something to send, or its own limit where that is less; what
// a flow cannot use is not given to others. One thread, the queue's.
class Fabric {
 public:
  using FlowId = int64_t;

  // `bytes_per_second` of each end's links; infinite: nothing waits.
  Fabric(std::vector<double> bytes_per_second, EventQueue* queue);

  // A flow with nothing to send yet. `on_sent` is told each time that all it had is through.
  FlowId Open(int source, int target, std::function<void()> on_sent);

  // More to send, the flow at no more than `bytes_per_second` from now on, which is positive.
  void Send(FlowId flow, double bytes,
            double bytes_per_second = std::numeric_limits<double>::infinity());

  // Bytes given to Send that are not through.
  double Remaining(FlowId flow) const;

  // Unknown flows are ignored; what is not through never will be.
  void Close(FlowId flow);

  double bytes_sent() const { return bytes_sent_; }

 private:
  struct Flow {
    int source = 0, target = 0;
    std::function<void()> on_sent;
    double remaining = 0;
    double limit = 0;
    double rate = 0;  // bytes per second, since `since`
    absl::Time since;
    uint64_t plan = 0;  // only the latest plan for its end holds
    bool active = false;
  };

  // Moves what has passed since its rate was set.
  void Settle(Flow& flow);
  // Flows of the two ends' links share anew.
  void Share(int source, int target);
  void Plan(FlowId id, Flow& flow);
  void Activate(FlowId id, Flow& flow);
  void Deactivate(FlowId id, Flow& flow);
  void OnSent(FlowId id, uint64_t plan);

  const std::vector<double> bytes_per_second_;  // by end
  EventQueue& queue_;
  absl::flat_hash_map<FlowId, Flow> flows_;
  std::vector<std::vector<FlowId>> outgoing_, incoming_;  // active ones by end
  FlowId next_id_ = 0;
  double bytes_sent_ = 0;
};

}  // namespace tandem
