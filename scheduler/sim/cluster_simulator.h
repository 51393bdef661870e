// A cluster without machines: the Router and the InstanceSchedulers of production, with an event
// queue for a clock, latency models for engines and a fabric for the network.
//
//   ASSIGN_OR_RETURN(auto simulator, ClusterSimulator::Create(options));
//   const SimulationResult result = simulator->Run(workload);
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/router.h"
#include "scheduler/sim/event_queue.h"
#include "scheduler/sim/fabric.h"
#include "scheduler/sim/handoff_simulator.h"
#include "scheduler/sim/sim_instance.h"
#include "scheduler/sim/sim_request.h"
#include "scheduler/sim/simulation.h"
#include "scheduler/sim/workload.h"

namespace tandem {

// Plays gateway, network and workers around the production objects, message by message, in the
// order that docs/life_of_a_request.md tells. One thread. The same options and workload give the
// same result, to the bit.
class ClusterSimulator {
 public:
  // INVALID_ARGUMENT as SimulationOptions::Validate and InstanceScheduler::Create.
  static absl::StatusOr<std::unique_ptr<ClusterSimulator>> Create(const SimulationOptions& options);

  // To the last request's end, and on until nothing is under way any more, or until the options'
  // token asks it to stop. Once.
  SimulationResult Run(const Workload& workload);

  // Told of each request's record as it ends.
  void SetOnEnd(std::function<void(const RequestRecord&)> on_end) { on_end_ = std::move(on_end); }

 private:
  explicit ClusterSimulator(const SimulationOptions& options);
  absl::Status CreateInstances();

  // Gateway.
  void Arrive(int index);
  void AskForRoute(int index);
  // What a gateway tells of a prompt: the keys of its prefixes.
  std::vector<PromptPrefixes> PrefixesOf(int index) const;
  void TakeRoute(int index, const RouteDecision& decision);
  void Deliver(int index, uint32_t attempt);
  void Refuse(SimRequest& request, const absl::Status& status);
  void Lose(SimRequest& request, int instance);
  void Cancel(int index);
  void GiveBack(SimRequest& request);
  void End(SimRequest& request, RequestRecord::Outcome outcome, const std::string& error);
  void TakeToken(SimRequest& request, int index);

  // Workers.
  void OnEvent(int instance, const Event& event);
  void OnPrefillEvent(SimRequest& request, const Event& event);
  void OnEndEvent(SimRequest& request, const Event& event);
  TokenId DrawToken(const BatchRow& row) const;
  void AbortOn(int instance, uint64_t epoch, RequestId id, uint32_t attempt);
  void Kill(const SimFailure& failure);

  // Scheduler.
  void Beat(int instance, uint64_t epoch);

  SimRequest* Find(int index, uint32_t attempt) const;
  bool IsOn(const SimRequest& request, int instance) const;
  int IndexOf(const InstanceId& id) const;
  void AddToDigest(uint64_t value);
  void CheckEnd();

  const SimulationOptions options_;
  EventQueue queue_;
  Router router_;
  std::vector<std::unique_ptr<SimInstance>> instances_;
  std::set<int> block_sizes_;  // of those that keep prefixes
  std::unique_ptr<HandoffSimulator> handoffs_;
  std::function<void(const RequestRecord&)> on_end_;  // may be empty

  const Workload* workload_ = nullptr;
  std::vector<std::unique_ptr<SimRequest>> requests_;  // by index; null: has not come, or has ended
  absl::flat_hash_map<RequestId, int> index_of_;       // of those that are routed
  std::vector<std::set<int>> on_instance_;             // indices of requests by instance
  int num_ended_ = 0;
  absl::Time last_progress_ = absl::UnixEpoch();  // an arrival or a token
  bool is_over_ = false;
  SimulationResult result_;
};

}  // namespace tandem
