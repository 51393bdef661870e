#include "scheduler/router.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// Why KV computed by `source` is of no use to `target`; empty: it is.
std::string WhyIncompatible(const InstanceView& source, const InstanceView& target) {
  if (source.model_hash != target.model_hash) {
    return absl::StrCat("model hashes differ: ", absl::Hex(source.model_hash), " of ",
                        source.id.value(), ", ", absl::Hex(target.model_hash), " of ",
                        target.id.value());
  }
  const absl::Status status = target.layout.CheckCanReceive(source.layout);
  if (status.ok()) return "";
  return absl::StrCat(source.id.value(), " to ", target.id.value(), ": ", status.message());
}

}  // namespace

absl::string_view InstanceRoleName(InstanceRole role) {
  static constexpr std::array<absl::string_view, 3> kNames = {"prefill", "decode", "mixed"};
  return kNames[static_cast<int>(role)];
}

Router::Router(const RouterOptions& options) : options_(options), random_(options.seed) {}

void Router::Update(const InstanceView& view, absl::Time now) {
  Instance& instance = instances_[view.id];
  if (instance.view.epoch != view.epoch) {
    instance.dispatched.clear();
    instance.sum = Dispatch();
  }
  instance.view = view;
  instance.last_report = now;
  std::vector<RequestId> reported;
  for (const auto& [id, dispatch] : instance.dispatched) {
    if (dispatch.time + options_.report_lag <= now) reported.push_back(id);
  }
  for (RequestId id : reported) DropDispatch(&instance, id);
}

void Router::Remove(const InstanceId& id) { instances_.erase(id); }

std::vector<InstanceId> Router::Tick(absl::Time now) {
  std::vector<InstanceId> expired;
  for (const auto& [id, instance] : instances_) {
    if (instance.last_report + options_.heartbeat_timeout <= now) expired.push_back(id);
  }
  for (const InstanceId& id : expired) Remove(id);
  return expired;
}

absl::StatusOr<RouteDecision> Router::Route(const RouteRequest& request, absl::Time now) {
  RouteDecision decision;
  absl::StatusOr<Choice> found = Choose(request);
  if (!found.ok()) {
    const Instance* decode = nullptr;
    if (!AnyPrefills(request)) decode = ChooseDecode(nullptr, request, nullptr);
    if (decode == nullptr) return found.status();
    found = Choice{.prefill = decode, .decode = decode};
    decision.fallback = "no_prefill_worker";
  }
  const Choice choice = *found;
  decision.request = request.replay_of.has_value() ? *request.replay_of : NewRequestId();
  decision.attempt = request.attempt;
  Complete(decision.request);  // what an earlier attempt still counts for
  const auto target = [](const InstanceView& view) {
    return RouteTarget{.id = view.id, .address = view.address, .epoch = view.epoch};
  };
  const int num_blocks = choice.decode->view.layout.NumBlocks(request.num_prompt_tokens) + 1;
  decision.decode = target(choice.decode->view);
  decision.numerics = choice.decode->view.numerics;
  if (const std::string& other = choice.prefill->view.numerics; other != decision.numerics) {
    decision.numerics = absl::StrCat(other, "; ", decision.numerics);  // no instance alone has them
  }
  decision.inexact =
      Differs(choice.prefill->view, request) || Differs(choice.decode->view, request);
  Dispatch decode{.time = now, .num_decode_blocks = num_blocks, .num_decode_requests = 1};
  if (choice.prefill == choice.decode) {
    decode.num_prefill_tokens = request.num_prompt_tokens;
  } else {
    decision.prefill = target(choice.prefill->view);
    AddDispatch(choice.prefill->view.id, decision.request,
                {.time = now, .num_prefill_tokens = request.num_prompt_tokens});
  }
  AddDispatch(choice.decode->view.id, decision.request, decode);
  return decision;
}

void Router::Complete(RequestId id) {
  for (auto& [instance_id, instance] : instances_) DropDispatch(&instance, id);
}

void Router::AddDispatch(const InstanceId& instance_id, RequestId id, const Dispatch& dispatch) {
  Instance& instance = instances_.at(instance_id);
  instance.dispatched[id] = dispatch;
  instance.sum.num_prefill_tokens += dispatch.num_prefill_tokens;
  instance.sum.num_decode_blocks += dispatch.num_decode_blocks;
  instance.sum.num_decode_requests += dispatch.num_decode_requests;
}

void Router::DropDispatch(Instance* instance, RequestId id) {
  const auto found = instance->dispatched.find(id);
  if (found == instance->dispatched.end()) return;
  instance->sum.num_prefill_tokens -= found->second.num_prefill_tokens;
  instance->sum.num_decode_blocks -= found->second.num_decode_blocks;
  instance->sum.num_decode_requests -= found->second.num_decode_requests;
  instance->dispatched.erase(found);
}

bool Router::Usable(const InstanceView& view, const RouteRequest& request) {
  return Usable(view) && std::find(request.avoid.begin(), request.avoid.end(),
                                   std::pair(view.id, view.epoch)) == request.avoid.end();
}

bool Router::Differs(const InstanceView& view, const RouteRequest& request) {
  return !request.numerics.empty() && view.numerics != request.numerics;
}

bool Router::AnyPrefills(const RouteRequest& request) const {
  return std::any_of(instances_.begin(), instances_.end(), [&](const auto& entry) {
    const InstanceView& view = entry.second.view;
    return Usable(view, request) && view.role != InstanceRole::kDecode;
  });
}

absl::StatusOr<Router::Choice> Router::Choose(const RouteRequest& request) const {
  // By numerics and work, then, as instances_ is, by id.
  std::vector<std::pair<std::pair<bool, int64_t>, const Instance*>> prefills;
  for (const auto& [id, instance] : instances_) {
    if (!Usable(instance.view, request) || instance.view.role == InstanceRole::kDecode) continue;
    const int64_t work = instance.view.num_queued_tokens + instance.sum.num_prefill_tokens;
    prefills.emplace_back(std::pair(Differs(instance.view, request), work), &instance);
  }
  std::stable_sort(prefills.begin(), prefills.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string pairing_reason;
  for (const auto& [work, prefill] : prefills) {
    const Instance* decode = ChooseDecode(prefill, request, &pairing_reason);
    if (decode != nullptr) return Choice{.prefill = prefill, .decode = decode};
  }
  return WhyUnavailable(request, pairing_reason);
}

const Router::Instance* Router::ChooseDecode(const Instance* prefill, const RouteRequest& request,
                                             std::string* reason) const {
  // Numerics differ from the first attempt's, no room, requests, is a handoff, numerics differ from
  // prefill's, -free blocks.
  using Load = std::tuple<bool, bool, int, bool, bool, int>;
  const Instance* best = nullptr;
  Load best_load;
  for (const auto& [id, instance] : instances_) {
    const bool local = &instance == prefill;
    const InstanceView& view = instance.view;
    if (!Usable(view, request) || view.role == InstanceRole::kPrefill) continue;
    if (prefill != nullptr && !local) {
      if (view.role == InstanceRole::kMixed && prefill->view.role == InstanceRole::kMixed) continue;
      if (std::string why = WhyIncompatible(prefill->view, view); !why.empty()) {
        *reason = std::move(why);
        continue;
      }
    }
    const int num_free = view.num_free_blocks - instance.sum.num_decode_blocks;
    const Load load = {Differs(view, request),
                       num_free < view.layout.NumBlocks(request.num_prompt_tokens) + 1,
                       view.num_requests + instance.sum.num_decode_requests,
                       !local,
                       prefill != nullptr && view.numerics != prefill->view.numerics,
                       -num_free};
    if (best != nullptr && load >= best_load) continue;
    best = &instance;
    best_load = load;
  }
  return best;
}

absl::Status Router::CheckServable() const { return Choose({.num_prompt_tokens = 1}).status(); }

absl::Status Router::WhyUnavailable(const RouteRequest& request,
                                    const std::string& pairing_reason) const {
  constexpr int kMaxNamed = 4;  // keeps the message readable in a large cluster
  for (const InstanceRole role : {InstanceRole::kPrefill, InstanceRole::kDecode}) {
    std::vector<std::string> unusable;
    bool any_usable = false;
    for (const auto& [id, instance] : instances_) {
      const InstanceView& view = instance.view;
      if (view.role != role && view.role != InstanceRole::kMixed) continue;
      any_usable = any_usable || Usable(view, request);
      unusable.push_back(absl::StrCat(id.value(), view.draining  ? " is draining"
                                                  : view.healthy ? " has failed this request"
                                                                 : " is not healthy"));
    }
    if (any_usable) continue;
    const absl::string_view name = InstanceRoleName(role);
    if (unusable.empty()) {
      return absl::UnavailableError(absl::StrCat("no ", name, " worker is registered"));
    }
    if (static_cast<int>(unusable.size()) > kMaxNamed) {
      unusable.resize(kMaxNamed);
      unusable.push_back("and more");
    }
    return absl::UnavailableError(
        absl::StrCat("no ", name, " worker is ready: ", absl::StrJoin(unusable, ", ")));
  }
  return absl::UnavailableError(
      absl::StrCat("no prefill worker fits a decode worker: ", pairing_reason));
}

std::vector<InstanceView> Router::Instances() const {
  std::vector<InstanceView> views;
  for (const auto& [id, instance] : instances_) views.push_back(instance.view);
  return views;
}

RequestId Router::NewRequestId() {
  uint64_t id = 0;
  while (id == 0) id = random_();  // 0 reads as "no request" on the wire
  return RequestId(id);
}

}  // namespace tandem
