#include "server/controller/cluster_messages.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

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
  latency.steps = {
      .prefill = from.prefill_steps(), .decode = from.decode_steps(), .mixed = from.mixed_steps()};
  latency.mean_error = from.mean_error();
  latency.knows_prefill = from.prefill_size() == 3;
  latency.knows_decode = from.decode_size() == 3;
  return latency;
}

}  // namespace

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
  if (registration.has_budgets()) {
    const v1::InstanceBudgets& budgets = registration.budgets();
    view.chunk_tokens =
        std::max(1, std::min(budgets.max_num_batched_tokens(), budgets.prefill_batch_tokens()));
    view.depth = std::max(1, budgets.depth());
  }
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

InstanceOptions ToBudgets(const v1::RegisterRequest& registration) {
  const v1::InstanceBudgets& budgets = registration.budgets();
  InstanceOptions options;
  options.num_blocks = static_cast<int>(registration.blocks_total());
  options.block_size = registration.layout().block_size();
  options.max_model_len = registration.model().max_model_len();
  if (!registration.has_budgets()) return options;
  options.max_num_seqs = budgets.max_num_seqs();
  options.max_num_batched_tokens = budgets.max_num_batched_tokens();
  options.prefill_batch_tokens = budgets.prefill_batch_tokens();
  options.max_queued_requests = budgets.max_queued_requests();
  options.depth = budgets.depth();
  options.prefix_caching = budgets.prefix_caching();
  return options;
}

v1::Role ToProto(InstanceRole role) {
  switch (role) {
    case InstanceRole::kPrefill:
      return v1::ROLE_PREFILL;
    case InstanceRole::kDecode:
      return v1::ROLE_DECODE;
    case InstanceRole::kMixed:
      break;
  }
  return v1::ROLE_MIXED;
}

}  // namespace tandem
