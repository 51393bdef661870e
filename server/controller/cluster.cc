#include "server/controller/cluster.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

absl::StatusOr<InstanceRole> ToRole(v1::Role role) {
  switch (role) {
    case v1::ROLE_PREFILL:
      return InstanceRole::kPrefill;
    case v1::ROLE_DECODE:
      return InstanceRole::kDecode;
    case v1::ROLE_MIXED:
      return InstanceRole::kMixed;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown role ", static_cast<int>(role)));
  }
}

// What is not as it should be is not known.
StepLatency ToLatency(const v1::StepLatency& from) {
  StepLatency latency;
  LatencyCoefficients& to = latency.coefficients;
  if (from.prefill_size() == 3) {
    to.prefill = {
        .base_ms = from.prefill(0), .token_ms = from.prefill(1), .square_ms = from.prefill(2)};
  }
  const auto decode = [](const auto& values) -> LatencyCoefficients::Decode {
    if (values.size() != 3) return {};
    return {.base_ms = values.Get(0), .context_ms = values.Get(1), .row_ms = values.Get(2)};
  };
  to.decode = decode(from.decode());
  to.large_decode = decode(from.large_decode());
  to.large_decode_rows = from.large_decode_rows();
  if (!LatencyModel::Create(to).ok()) return {};
  latency.knows_prefill = from.prefill_size() == 3;
  latency.knows_decode = from.decode_size() == 3;
  return latency;
}

absl::StatusOr<InstanceView> ToView(const v1::InstanceState& state) {
  const v1::RegisterRequest& registration = state.registration();
  const v1::KvLayoutInfo& info = registration.layout();
  InstanceView view;
  view.id = InstanceId(registration.instance_id());
  ASSIGN_OR_RETURN(view.role, ToRole(registration.role()));
  view.epoch = registration.epoch();
  view.address = registration.address();
  view.model_hash = registration.model().content_hash();
  view.numerics = registration.model().numerics();
  view.compute = registration.compute();
  view.layout = {.num_layers = info.num_layers(),
                 .num_kv_heads = info.num_kv_heads(),
                 .head_dim = info.head_dim(),
                 .block_size = info.block_size()};
  ASSIGN_OR_RETURN(view.layout.dtype, ParseDType(info.dtype()));
  view.num_free_blocks =
      static_cast<int>(state.stats().blocks_free() + state.stats().blocks_cached());
  const v1::WorkerStats& stats = state.stats();
  view.num_queued_tokens = stats.waiting_tokens();
  // Announced ones wait too, but have no tokens here.
  view.num_queued_prompts =
      stats.waiting_tokens() == 0
          ? 0
          : static_cast<int>(stats.waiting_requests() + stats.running_requests() -
                             stats.decoding_requests());
  view.num_requests = static_cast<int>(stats.running_requests() + stats.receiving_requests() +
                                       stats.waiting_requests());
  view.num_decoding = static_cast<int>(stats.decoding_requests());
  view.num_decoding_tokens = stats.decoding_tokens();
  view.latency = ToLatency(stats.latency());
  view.num_steps = stats.steps();
  view.healthy = state.healthy();
  view.draining = state.draining();
  return view;
}

RouteRequest FromProto(const v1::RouteRequest& request) {
  RouteRequest wanted{.num_prompt_tokens = request.num_prompt_tokens(),
                      .max_tokens = request.max_tokens(),
                      .reject_late = request.reject_late(),
                      .attempt = request.attempt(),
                      .numerics = request.numerics()};
  for (const v1::PrefixKeys& prefixes : request.prefixes()) {
    wanted.prefixes.push_back({.block_size = prefixes.block_size(),
                               .keys = {prefixes.keys().begin(), prefixes.keys().end()}});
  }
  if (request.ttft_target_ms() != 0) {
    wanted.ttft_target = absl::Milliseconds(request.ttft_target_ms());
  }
  if (request.tpot_target_ms() != 0) {
    wanted.tpot_target = absl::Milliseconds(request.tpot_target_ms());
  }
  if (request.replay_of() != 0) wanted.replay_of = RequestId(request.replay_of());
  for (const v1::WorkerIncarnation& lost : request.avoid()) {
    wanted.avoid.emplace_back(InstanceId(lost.instance_id()), lost.epoch());
  }
  return wanted;
}

v1::WorkerTarget ToTarget(const RouteTarget& target) {
  v1::WorkerTarget message;
  message.set_instance_id(target.id.value());
  message.set_address(target.address);
  message.set_epoch(target.epoch);
  return message;
}

}  // namespace

absl::Status Cluster::CheckFits(const v1::RegisterRequest& registration) const {
  if (registration.instance_id().empty()) return absl::InvalidArgumentError("instance_id is empty");
  if (registration.layout().version() != KvLayout::kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "KV layout version ", registration.layout().version(), ", expected ", KvLayout::kVersion));
  }
  for (const auto& [id, peer] : instances_) {
    const v1::ModelFingerprint& theirs = peer.registration().model();
    if (id == registration.instance_id()) continue;
    if (theirs.content_hash() != registration.model().content_hash()) {
      return absl::FailedPreconditionError(absl::StrCat("model \"", registration.model().name(),
                                                        "\" is not the same file as \"",
                                                        theirs.name(), "\" of ", id));
    }
  }
  return absl::OkStatus();
}

absl::Status Cluster::Register(const v1::RegisterRequest& registration, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckFits(registration));
  v1::InstanceState state;
  *state.mutable_registration() = registration;
  state.mutable_stats()->set_blocks_total(registration.blocks_total());
  state.mutable_stats()->set_blocks_free(registration.blocks_total());
  state.set_healthy(true);
  ASSIGN_OR_RETURN(const InstanceView view, ToView(state));
  router_.Update(view, now);
  instances_[registration.instance_id()] = std::move(state);
  LOG(INFO) << "joined instance=" << registration.instance_id()
            << " address=" << registration.address() << " epoch=" << registration.epoch();
  return absl::OkStatus();
}

absl::Status Cluster::Heartbeat(const v1::HeartbeatRequest& beat, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto it = instances_.find(beat.instance_id());
  if (it == instances_.end() || it->second.registration().epoch() != beat.epoch()) {
    return absl::NotFoundError(absl::StrCat("instance ", beat.instance_id(), " with epoch ",
                                            beat.epoch(), " is not registered"));
  }
  v1::InstanceState& state = it->second;
  *state.mutable_stats() = beat.stats();
  state.set_healthy(beat.stats().healthy());
  state.set_draining(beat.draining());
  if (beat.role() != v1::ROLE_UNSPECIFIED && beat.role() != state.registration().role()) {
    RETURN_IF_ERROR(ToRole(beat.role()).status());
    LOG(INFO) << "instance=" << beat.instance_id() << " is " << v1::Role_Name(beat.role())
              << " from now on";
    state.mutable_registration()->set_role(beat.role());
  }
  ASSIGN_OR_RETURN(const InstanceView view, ToView(state));
  router_.Update(view, now);
  if (beat.has_prefixes()) {
    const auto& added = beat.prefixes().added();
    const auto& removed = beat.prefixes().removed();
    router_.UpdatePrefixes(view.id, {.restart = beat.prefixes().restart(),
                                     .added = {added.begin(), added.end()},
                                     .removed = {removed.begin(), removed.end()}});
  }
  return absl::OkStatus();
}

void Cluster::Leave(const std::string& instance_id, uint64_t epoch) {
  absl::MutexLock lock(&mutex_);
  const auto it = instances_.find(instance_id);
  if (it == instances_.end() || it->second.registration().epoch() != epoch) return;
  LOG(WARNING) << "left instance=" << instance_id << " epoch=" << epoch;
  router_.Remove(InstanceId(instance_id));
  instances_.erase(it);
}

absl::StatusOr<v1::RouteResponse> Cluster::Route(const v1::RouteRequest& request, absl::Time now) {
  const RouteRequest wanted = FromProto(request);
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const RouteDecision decision, router_.Route(wanted, now));
  v1::RouteResponse response;
  response.set_request_id(decision.request.value());
  response.set_attempt(decision.attempt);
  if (decision.prefill) *response.mutable_prefill() = ToTarget(*decision.prefill);
  *response.mutable_decode() = ToTarget(decision.decode);
  response.set_fallback(decision.fallback);
  response.set_numerics(decision.numerics);
  response.set_inexact(decision.inexact);
  response.set_ttft_ms(absl::ToDoubleMilliseconds(decision.ttft));
  response.set_tpot_ms(absl::ToDoubleMilliseconds(decision.tpot));
  return response;
}

void Cluster::Complete(uint64_t request_id) {
  absl::MutexLock lock(&mutex_);
  router_.Complete(RequestId(request_id));
}

void Cluster::Tick(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  for (const InstanceId& id : router_.Tick(now)) {
    LOG(WARNING) << "no heartbeat from instance=" << id << ": taken out";
    instances_.erase(id.value());
  }
}

v1::ClusterState Cluster::State() const {
  absl::MutexLock lock(&mutex_);
  v1::ClusterState state;
  for (const auto& [id, instance] : instances_) *state.add_instances() = instance;
  const absl::Status servable = router_.CheckServable();
  state.set_servable(servable.ok());
  state.set_not_servable_reason(std::string(servable.message()));
  return state;
}

}  // namespace tandem
