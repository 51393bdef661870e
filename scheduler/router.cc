#include "scheduler/router.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

RouteTarget ToTarget(const InstanceView& view) {
  return {.id = view.id, .address = view.address, .epoch = view.epoch};
}

}  // namespace

Router::Router(const RouterOptions& options)
    : options_(options),
      random_(options.seed),
      table_(options.report_lag),
      prefixes_(options.max_prefix_entries) {}

void Router::Update(const InstanceView& view, absl::Time now) {
  const InstanceTable::Instance* const known = table_.Find(view.id);
  if (known != nullptr && known->view.epoch != view.epoch) prefixes_.Drop(known->slot);
  table_.Update(view, now);
}

void Router::UpdatePrefixes(const InstanceId& id, const PrefixChanges& changes) {
  const InstanceTable::Instance* const instance = table_.Find(id);
  if (instance != nullptr) prefixes_.Apply(changes, instance->slot);
}

void Router::Remove(const InstanceId& id) {
  const InstanceTable::Instance* const instance = table_.Find(id);
  if (instance == nullptr) return;
  prefixes_.Drop(instance->slot);
  table_.Remove(id);
}

std::vector<InstanceId> Router::Tick(absl::Time now) {
  std::vector<InstanceId> expired;
  for (const auto& [id, instance] : table_.instances()) {
    if (instance.last_report + options_.heartbeat_timeout <= now) expired.push_back(id);
  }
  for (const InstanceId& id : expired) Remove(id);
  return expired;
}

absl::StatusOr<RouteDecision> Router::Route(const RouteRequest& request, absl::Time now) {
  RouteDecision decision;
  const RouteChooser chooser(Cluster(), request);
  absl::StatusOr<RouteChoice> found = chooser.Choose();
  if (!found.ok()) {
    const RouteChoice fallback = chooser.ChooseFallback();
    if (fallback.decode == nullptr) return found.status();
    found = fallback;
    decision.fallback = "no_prefill_worker";
  }
  RETURN_IF_ERROR(CheckTargets(*found, request, now));
  const InstanceView& prefill = found->prefill->view;
  const InstanceView& decode = found->decode->view;
  decision.request = Dispatch(*found, request, now);
  decision.attempt = request.attempt;
  if (found->prefill != found->decode) decision.prefill = ToTarget(prefill);
  decision.decode = ToTarget(decode);
  decision.numerics = decode.numerics;
  if (prefill.numerics != decode.numerics) {
    decision.numerics = absl::StrCat(prefill.numerics, "; ", decode.numerics);  // no one's alone
  }
  decision.inexact = Differs(prefill, request) || Differs(decode, request);
  if (found->is_predicted) {
    decision.ttft = absl::Milliseconds(found->ttft_ms);
    decision.tpot = absl::Milliseconds(found->tpot_ms);
  }
  return decision;
}

absl::Status Router::CheckTargets(const RouteChoice& choice, const RouteRequest& request,
                                  absl::Time now) const {
  const absl::Time seen = std::min(choice.prefill->kind->last_step, choice.decode->kind->last_step);
  const bool may_refuse =
      request.reject_late && request.attempt == 0 && seen + options_.speed_expires > now;
  if (!may_refuse || !MissesTarget(choice, request)) return absl::OkStatus();
  const bool misses_ttft = absl::Milliseconds(choice.ttft_ms) > request.ttft_target;
  const double predicted_ms = misses_ttft ? choice.ttft_ms : choice.tpot_ms;
  const absl::Duration wanted = misses_ttft ? request.ttft_target : request.tpot_target;
  return absl::ResourceExhaustedError(
      absl::StrCat(misses_ttft ? "the first token" : "each further token", " is wanted within ",
                   std::round(absl::ToDoubleMilliseconds(wanted)), " ms and predicted to take ",
                   std::ceil(predicted_ms), " ms on the best workers there are"));
}

RequestId Router::Dispatch(const RouteChoice& choice, const RouteRequest& request, absl::Time now) {
  const RequestId id = request.replay_of.has_value() ? *request.replay_of : NewRequestId();
  table_.Complete(id);  // what an earlier attempt still counts for
  const PromptWork prompt = {.num_tokens = request.num_prompt_tokens,
                             .num_cached = choice.num_cached};
  tandem::Dispatch decode{
      .time = now,
      .num_blocks = choice.decode->view.layout.NumBlocks(request.num_prompt_tokens) + 1,
      .num_rows = 1,
      .num_context_tokens = request.num_prompt_tokens};
  if (choice.prefill == choice.decode) {
    decode.prompt = prompt;
  } else {
    table_.Add(choice.prefill, id, {.time = now, .prompt = prompt});
  }
  table_.Add(choice.decode, id, decode);
  return id;
}

absl::Status Router::CheckServable() const {
  const RouteRequest shortest = {.num_prompt_tokens = 1};
  return RouteChooser(Cluster(), shortest).Choose().status();
}

std::vector<InstanceView> Router::Instances() const {
  std::vector<InstanceView> views;
  for (const auto& [id, instance] : table_.instances()) views.push_back(instance.view);
  return views;
}

const InstanceView* Router::Find(const InstanceId& id) const {
  const auto found = table_.instances().find(id);
  return found == table_.instances().end() ? nullptr : &found->second.view;
}

RequestId Router::NewRequestId() {
  uint64_t id = 0;
  while (id == 0) id = random_();  // 0 reads as "no request" on the wire
  return RequestId(id);
}

}  // namespace tandem
