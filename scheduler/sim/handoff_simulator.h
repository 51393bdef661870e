// The way of KV from prefill to decode instances: what the servers' KV streams do, without bytes.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "scheduler/sim/fabric.h"
#include "scheduler/sim/sim_instance.h"
#include "scheduler/sim/sim_request.h"
#include "scheduler/sim/simulation.h"

namespace tandem {

// Owned by the ClusterSimulator, which tells it what happens on the instances. A request is looked
// up again whenever a message arrives: it may have ended or gone on to another attempt.
class HandoffSimulator {
 public:
  using FindRequest = std::function<SimRequest*(int index, uint32_t attempt)>;

  HandoffSimulator(const SimulationOptions& options,
                   std::vector<std::unique_ptr<SimInstance>>* instances, EventQueue* queue,
                   FindRequest find);

  // On the prefill instance: the prompt's first positions are in a step.
  void OnBegun(SimRequest& request, const Event& event);
  // A step has begun, or has ended and stored what it computes.
  void OnStep(int instance, const Batch& batch, absl::Time end);
  void OnStepEnd(int instance, const Batch& batch);
  void OnFirstToken(SimRequest& request, TokenId token);
  // The prefill instance has dropped the KV, or is gone: the decode instance computes the prompt.
  void OnKvLost(SimRequest& request);

  // On the decode instance: there is room.
  void OnReserved(SimRequest& request, const Event& event);

  // Nothing more of the present attempt travels.
  void Close(SimRequest& request);

  double bytes_sent() const { return fabric_.bytes_sent(); }
  int64_t num_handoffs() const { return num_handoffs_; }
  int64_t num_recomputes() const { return num_recomputes_; }

 private:
  // The row's request, if it is the prompt of a handoff that is on its way.
  SimRequest* FindRow(int instance, const BatchRow& row) const;
  void Announce(const SimRequest& request);
  void OpenFlow(SimRequest& request, int num_at_target);
  // The end of the fabric that KV between the two instances goes over on the side of `instance`.
  int EndOf(int instance, int other) const;
  void SendComputing(SimRequest& request);
  void OfferIfComplete(int index, uint32_t attempt);
  void Offer(SimRequest& request);
  // Runs `call` on the request's prefill or decode instance after the network's delay, if that is
  // still the one that the request was routed to.
  void Tell(const SimRequest& request, bool decode,
            std::function<void(InstanceScheduler&, RequestId, uint32_t)> call);
  double BytesPerToken(const SimRequest& request) const;

  const SimulationOptions& options_;
  std::vector<std::unique_ptr<SimInstance>>& instances_;
  EventQueue& queue_;
  const FindRequest find_;
  Fabric fabric_;
  int64_t num_handoffs_ = 0;
  int64_t num_recomputes_ = 0;
};

}  // namespace tandem
