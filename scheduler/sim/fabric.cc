#include "scheduler/sim/fabric.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tandem {
namespace {

// Rounding may leave a fraction of a byte.
constexpr double kNothing = 1e-3;

}  // namespace

Fabric::Fabric(std::vector<double> bytes_per_second, EventQueue* queue)
    : bytes_per_second_(std::move(bytes_per_second)),
      queue_(*queue),
      outgoing_(bytes_per_second_.size()),
      incoming_(bytes_per_second_.size()) {}

Fabric::FlowId Fabric::Open(int source, int target, std::function<void()> on_sent) {
  const FlowId id = next_id_++;
  Flow& flow = flows_[id];
  flow.source = source;
  flow.target = target;
  flow.on_sent = std::move(on_sent);
  flow.since = queue_.now();
  return id;
}

void Fabric::Send(FlowId id, double bytes, double bytes_per_second) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  Flow& flow = found->second;
  Settle(flow);
  flow.remaining += bytes;
  flow.limit = bytes_per_second;
  if (!flow.active) {
    Activate(id, flow);
  } else {
    Plan(id, flow);
  }
}

double Fabric::Remaining(FlowId id) const {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return 0;
  const Flow& flow = found->second;
  const double passed = absl::ToDoubleSeconds(queue_.now() - flow.since);
  return passed > 0 ? std::max(0.0, flow.remaining - flow.rate * passed) : flow.remaining;
}

void Fabric::Close(FlowId id) {
  const auto found = flows_.find(id);
  if (found == flows_.end()) return;
  Settle(found->second);
  if (found->second.active) Deactivate(id, found->second);
  flows_.erase(id);
}

void Fabric::Settle(Flow& flow) {
  const double passed = absl::ToDoubleSeconds(queue_.now() - flow.since);
  flow.since = queue_.now();
  if (!flow.active || passed <= 0) return;
  const double moved = std::min(flow.remaining, flow.rate * passed);
  flow.remaining -= moved;
  bytes_sent_ += moved;
}

void Fabric::Activate(FlowId id, Flow& flow) {
  flow.active = true;
  outgoing_[flow.source].push_back(id);
  incoming_[flow.target].push_back(id);
  Share(flow.source, flow.target);
}

void Fabric::Deactivate(FlowId id, Flow& flow) {
  flow.active = false;
  ++flow.plan;
  flow.rate = 0;
  std::erase(outgoing_[flow.source], id);
  std::erase(incoming_[flow.target], id);
  Share(flow.source, flow.target);
}

void Fabric::Share(int source, int target) {
  for (const std::vector<FlowId>* link : {&outgoing_[source], &incoming_[target]}) {
    for (FlowId id : *link) {
      Flow& flow = flows_.at(id);
      Settle(flow);
      Plan(id, flow);
    }
  }
}

void Fabric::Plan(FlowId id, Flow& flow) {
  const auto num_sending = static_cast<double>(outgoing_[flow.source].size());
  const auto num_received = static_cast<double>(incoming_[flow.target].size());
  flow.rate = std::min({flow.limit, bytes_per_second_[flow.source] / num_sending,
                        bytes_per_second_[flow.target] / num_received});
  const uint64_t plan = ++flow.plan;
  const double seconds = std::isinf(flow.rate) ? 0 : flow.remaining / flow.rate;
  // Rounded up, so that all of it is through by then.
  queue_.After(absl::Seconds(seconds) + (seconds > 0 ? absl::Nanoseconds(1) : absl::ZeroDuration()),
               [this, id, plan] { OnSent(id, plan); });
}

void Fabric::OnSent(FlowId id, uint64_t plan) {
  const auto found = flows_.find(id);
  if (found == flows_.end() || found->second.plan != plan) return;
  Flow& flow = found->second;
  Settle(flow);
  if (flow.remaining > kNothing && !std::isinf(flow.rate)) return Plan(id, flow);
  bytes_sent_ += flow.remaining;
  flow.remaining = 0;
  Deactivate(id, flow);
  const std::function<void()> on_sent = flow.on_sent;  // which may close the flow
  on_sent();
}

}  // namespace tandem
