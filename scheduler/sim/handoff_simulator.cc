#include "scheduler/sim/handoff_simulator.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tandem {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// One end for each instance, behind them one for each node.
std::vector<double> LinksOf(const SimulationOptions& options) {
  std::vector<double> links(options.instances.size(), options.link_bytes_per_second);
  if (options.nodes.empty()) return links;
  const int num_nodes = 1 + *std::max_element(options.nodes.begin(), options.nodes.end());
  links.insert(links.end(), num_nodes, options.node_bytes_per_second);
  return links;
}

}  // namespace

HandoffSimulator::HandoffSimulator(const SimulationOptions& options,
                                   std::vector<std::unique_ptr<SimInstance>>* instances,
                                   EventQueue* queue, FindRequest find)
    : options_(options),
      instances_(*instances),
      queue_(*queue),
      find_(std::move(find)),
      fabric_(LinksOf(options), queue) {}

void HandoffSimulator::Tell(const SimRequest& request, bool decode,
                            std::function<void(InstanceScheduler&, RequestId, uint32_t)> call) {
  const int instance = decode ? request.decode : request.prefill;
  const uint64_t epoch = decode ? request.decode_epoch : request.prefill_epoch;
  queue_.After(options_.network_delay, [this, instance, epoch, id = request.id,
                                        attempt = request.attempt, call = std::move(call)] {
    SimInstance& worker = *instances_[instance];
    if (!worker.alive() || worker.epoch() != epoch) return;
    worker.Do([&](InstanceScheduler& scheduler) { call(scheduler, id, attempt); });
  });
}

double HandoffSimulator::BytesPerToken(const SimRequest& request) const {
  return instances_[request.prefill]->options().kv_bytes_per_token;
}

void HandoffSimulator::OnBegun(SimRequest& request, const Event& event) {
  SimHandoff& handoff = request.handoff;
  handoff.begun = true;
  handoff.num_tokens = event.num_tokens;
  handoff.num_stored = event.num_cached_tokens;
  if (options_.layerwise) Announce(request);
}

// The decode instance begins to look for room.
void HandoffSimulator::Announce(const SimRequest& request) {
  Tell(request, /*decode=*/true,
       [this](InstanceScheduler& scheduler, RequestId id, uint32_t attempt) {
         scheduler.Begun(id, attempt, queue_.now());
       });
}

void HandoffSimulator::OnReserved(SimRequest& request, const Event& event) {
  queue_.After(options_.network_delay, [this, index = request.index, attempt = request.attempt,
                                        num_at_target = event.num_cached_tokens] {
    SimRequest* found = find_(index, attempt);
    if (found == nullptr || found->prefill == SimRequest::kNobody || found->handoff.flow) return;
    OpenFlow(*found, num_at_target);
  });
}

void HandoffSimulator::OpenFlow(SimRequest& request, int num_at_target) {
  SimHandoff& handoff = request.handoff;
  const int index = request.index;
  const uint32_t attempt = request.attempt;
  handoff.flow =
      fabric_.Open(EndOf(request.prefill, request.decode), EndOf(request.decode, request.prefill),
                   [this, index, attempt] { OfferIfComplete(index, attempt); });
  handoff.num_given = num_at_target;
  const int num_ready = std::max(0, handoff.num_stored - num_at_target);
  handoff.num_given += num_ready;
  fabric_.Send(*handoff.flow, num_ready * BytesPerToken(request), kNoLimit);
  if (options_.layerwise) SendComputing(request);
}

int HandoffSimulator::EndOf(int instance, int other) const {
  const std::vector<int>& nodes = options_.nodes;
  if (nodes.empty() || nodes[instance] == nodes[other]) return instance;
  return static_cast<int>(options_.instances.size()) + nodes[instance];
}

SimRequest* HandoffSimulator::FindRow(int instance, const BatchRow& row) const {
  const int index = static_cast<int>(row.sampling->seed);
  SimRequest* request = find_(index, SimRequest::kAnyAttempt);
  const bool is_its = request != nullptr && request->prefill == instance &&
                      request->id == row.request && request->handoff.begun;
  return is_its ? request : nullptr;
}

void HandoffSimulator::OnStep(int instance, const Batch& batch, absl::Time end) {
  if (!options_.layerwise) return;
  for (const BatchRow& row : batch.rows) {
    SimRequest* request = FindRow(instance, row);
    if (request == nullptr) continue;
    request->handoff.num_computing = row.begin + row.num_tokens;
    request->handoff.step_end = end;
    if (request->handoff.flow) SendComputing(*request);
  }
}

// Layers of the chunk come one after another until its step ends, when the last one is there.
void HandoffSimulator::SendComputing(SimRequest& request) {
  SimHandoff& handoff = request.handoff;
  const double seconds = absl::ToDoubleSeconds(handoff.step_end - queue_.now());
  if (seconds <= 0 || handoff.num_computing <= handoff.num_given) return;
  const double bytes = (handoff.num_computing - handoff.num_given) * BytesPerToken(request);
  const double last_layer = bytes / instances_[request.prefill]->options().num_layers;
  const double early = fabric_.Remaining(*handoff.flow) + bytes - last_layer;
  if (early <= 0) return;
  handoff.num_given = handoff.num_computing;
  fabric_.Send(*handoff.flow, bytes, early / seconds);
}

void HandoffSimulator::OnStepEnd(int instance, const Batch& batch) {
  for (const BatchRow& row : batch.rows) {
    SimRequest* request = FindRow(instance, row);
    if (request == nullptr) continue;
    SimHandoff& handoff = request->handoff;
    handoff.num_stored = row.begin + row.num_tokens;
    if (!handoff.flow) continue;
    const int num_new = std::max(0, handoff.num_stored - handoff.num_given);
    handoff.num_given += num_new;
    fabric_.Send(*handoff.flow, num_new * BytesPerToken(*request), kNoLimit);
  }
}

void HandoffSimulator::OnFirstToken(SimRequest& request, TokenId token) {
  request.handoff.first_token = token;
  // Who waits for KV renews its lease for as long as it takes.
  instances_[request.prefill]->Do([&](InstanceScheduler& scheduler) {
    scheduler.SetLease(request.id, request.attempt, absl::InfiniteFuture());
  });
  if (!options_.layerwise) Announce(request);
  OfferIfComplete(request.index, request.attempt);
}

void HandoffSimulator::OfferIfComplete(int index, uint32_t attempt) {
  SimRequest* request = find_(index, attempt);
  if (request == nullptr) return;
  SimHandoff& handoff = request->handoff;
  if (!handoff.flow || !handoff.first_token || handoff.offered) return;
  if (handoff.num_given < handoff.num_tokens || fabric_.Remaining(*handoff.flow) > 0) return;
  handoff.offered = true;
  Offer(*request);
}

void HandoffSimulator::Offer(SimRequest& request) {
  ++num_handoffs_;
  fabric_.Close(*request.handoff.flow);
  queue_.After(options_.HandoffDelay(), [this, index = request.index, attempt = request.attempt] {
    SimRequest* found = find_(index, attempt);
    if (found == nullptr) return;
    found->kv_complete = queue_.now();
    SimInstance& worker = *instances_[found->decode];
    if (!worker.alive() || worker.epoch() != found->decode_epoch) return;
    if (found->prefill != SimRequest::kNobody) {  // it may have died since
      Tell(*found, /*decode=*/false,
           [this](InstanceScheduler& scheduler, RequestId id, uint32_t attempt) {
             scheduler.Release(id, attempt, queue_.now());
           });
    }
    const KvHandoff handoff{
        .id = found->id, .attempt = attempt, .first_token = *found->handoff.first_token};
    worker.Do([&](InstanceScheduler& scheduler) { scheduler.Offer(handoff, queue_.now()); });
  });
}

void HandoffSimulator::OnKvLost(SimRequest& request) {
  if (request.handoff.offered) return;
  ++num_recomputes_;
  Close(request);
  Tell(request, /*decode=*/true,
       [this](InstanceScheduler& scheduler, RequestId id, uint32_t attempt) {
         scheduler.Recompute(id, attempt, queue_.now());
         scheduler.Fence(id, attempt, queue_.now());
       });
}

void HandoffSimulator::Close(SimRequest& request) {
  if (request.handoff.flow) fabric_.Close(*request.handoff.flow);
  request.handoff = SimHandoff();
}

}  // namespace tandem
