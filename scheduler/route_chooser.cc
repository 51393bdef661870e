#include "scheduler/route_chooser.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

using Instance = InstanceTable::Instance;

// Of each kind and order, how many of the first are compared. One would do where all are exactly as
// loaded as they seem; a few more find those that hold a part of the prompt.
constexpr int kNumLeastLoaded = 4;
// Of those that hold a prompt's beginning.
constexpr int kNumNearest = 8;
// How many full ones are passed by for one that has room for the prompt.
constexpr int kMaxFull = 16;

// Tokens after the first that a choice is made for, where the answer may be longer: long enough
// that a slow decode instance does not win by being near, short enough that the first token counts.
constexpr int kTokensAhead = 64;
// What a handoff takes beside the transfer (docs/performance.md, kv_exposed).
constexpr double kHandoffMs = 0.5;
// What a millisecond counts for that a prefill delays one decoding sequence by: its users see it as
// one late token among many.
constexpr double kDelayWeight = 0.125;
// So that equal predictions spread: a step counts so much more with each sequence in it.
constexpr double kCrowding = 0.001;

bool Usable(const Instance& instance, const RouteRequest& request) {
  return instance.Usable() &&
         std::find(request.avoid.begin(), request.avoid.end(),
                   std::pair(instance.view.id, instance.view.epoch)) == request.avoid.end();
}

bool LacksRoom(const Instance& instance, const RouteRequest& request) {
  return instance.num_free_blocks < instance.view.layout.NumBlocks(request.num_prompt_tokens) + 1;
}

// Appends the first few usable ones of `order`.
void AppendFirst(const InstanceTable::Order& order, const RouteRequest& request,
                 std::vector<Instance*>* instances) {
  int num_left = kNumLeastLoaded;
  for (const auto& [rank, instance] : order) {
    if (!Usable(*instance, request)) continue;
    instances->push_back(instance);
    if (--num_left == 0) return;
  }
}

// The same of those that decode, among them some with room if any has.
void AppendFirstWithRoom(const InstanceTable::Kind& kind, const RouteRequest& request,
                         std::vector<Instance*>* instances) {
  int num_roomy = 0;
  int num_full = 0;
  for (const auto& [rank, instance] : kind.by_step) {
    if (!Usable(*instance, request)) continue;
    int& count = LacksRoom(*instance, request) ? num_full : num_roomy;
    if (++count <= kNumLeastLoaded) instances->push_back(instance);
    if (num_roomy == kNumLeastLoaded) return;
    if (num_full == kMaxFull) break;
  }
  for (const auto& [room, instance] : kind.by_room) {
    if (!Usable(*instance, request)) continue;
    return instances->push_back(instance);
  }
}

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

int TokensAhead(const RouteRequest& request) {
  if (request.max_tokens <= 0) return kTokensAhead;
  return std::clamp(request.max_tokens - 1, 1, kTokensAhead);
}

}  // namespace

bool Differs(const InstanceView& view, const RouteRequest& request) {
  return !request.numerics.empty() && view.numerics != request.numerics;
}

bool MissesTarget(const RouteChoice& choice, const RouteRequest& request) {
  return choice.is_predicted && (absl::Milliseconds(choice.ttft_ms) > request.ttft_target ||
                                 absl::Milliseconds(choice.tpot_ms) > request.tpot_target);
}

RouteChooser::RouteChooser(const Cluster& cluster, const RouteRequest& request)
    : cluster_(cluster), request_(request) {
  FindNearest();
}

absl::StatusOr<RouteChoice> RouteChooser::Choose() const {
  absl::StatusOr<RouteChoice> handoff = ChooseHandoff();
  if (!handoff.ok()) return handoff;
  const RouteChoice local = ChooseLocal();
  if (local.decode == nullptr || !handoff->is_predicted) return handoff;
  const auto badness = [this](const RouteChoice& choice) {
    return std::tuple(
        Differs(choice.prefill->view, request_) || Differs(choice.decode->view, request_),
        MissesTarget(choice, request_), choice.cost_ms);
  };
  return badness(local) < badness(*handoff) ? local : *handoff;
}

absl::StatusOr<RouteChoice> RouteChooser::ChooseHandoff() const {
  std::string pairing_reason;
  for (const Prefill& prefill : RankPrefills()) {
    const RouteChoice choice = ChooseDecode(prefill, &pairing_reason);
    if (choice.decode != nullptr) return choice;
  }
  return WhyUnavailable(pairing_reason);
}

std::vector<RouteChooser::Prefill> RouteChooser::RankPrefills() const {
  std::vector<Instance*> candidates;
  for (const auto& [key, kind] : cluster_.instances.kinds()) {
    AppendFirst(kind.by_wait, request_, &candidates);
  }
  for (Instance* instance : nearest_) {
    if (instance->view.role != InstanceRole::kDecode) candidates.push_back(instance);
  }
  std::vector<Prefill> prefills;
  prefills.reserve(candidates.size());
  for (Instance* instance : candidates) prefills.push_back(MakePrefill(instance));
  const auto rank = [this](const Prefill& prefill) {
    return std::tuple(Differs(prefill.instance->view, request_), prefill.ttft_ms + prefill.delay_ms,
                      absl::string_view(prefill.instance->view.id.value()));
  };
  std::sort(prefills.begin(), prefills.end(),
            [&rank](const Prefill& a, const Prefill& b) { return rank(a) < rank(b); });
  return prefills;
}

std::vector<Instance*> RouteChooser::DecodesFor(const Instance& prefill,
                                                std::string* reason) const {
  std::vector<Instance*> decodes;
  for (const auto& [key, kind] : cluster_.instances.kinds()) {
    if (kind.by_step.empty()) continue;
    const InstanceView& some = kind.by_step.begin()->second->view;
    if (std::string why = WhyIncompatible(prefill.view, some); !why.empty()) {
      *reason = std::move(why);
      continue;
    }
    AppendFirstWithRoom(kind, request_, &decodes);
  }
  for (Instance* instance : nearest_) {
    if (instance->view.role == InstanceRole::kPrefill) continue;
    if (WhyIncompatible(prefill.view, instance->view).empty()) decodes.push_back(instance);
  }
  return decodes;
}

RouteChoice RouteChooser::ChooseDecode(const Prefill& prefill, std::string* reason) const {
  const Instance& source = *prefill.instance;
  std::vector<Instance*> candidates = DecodesFor(source, reason);
  if (source.view.role == InstanceRole::kMixed) candidates.push_back(prefill.instance);
  // Numerics differ from the first attempt's, no room, cost, is a handoff, numerics differ from
  // prefill's, -free blocks, id.
  using Rank = std::tuple<bool, bool, double, bool, bool, int, absl::string_view>;
  RouteChoice best;
  Rank best_rank;
  for (Instance* decode : candidates) {
    const bool local = decode == &source;
    if (!local && decode->view.role == InstanceRole::kMixed &&
        source.view.role == InstanceRole::kMixed) {
      continue;
    }
    const RouteChoice choice = MakeChoice(prefill, decode);
    const Rank rank = {Differs(decode->view, request_),
                       LacksRoom(*decode, request_),
                       choice.cost_ms,
                       !local,
                       decode->view.numerics != source.view.numerics,
                       -decode->num_free_blocks,
                       decode->view.id.value()};
    if (best.decode != nullptr && rank >= best_rank) continue;
    best = choice;
    best_rank = rank;
  }
  return best;
}

RouteChoice RouteChooser::ChooseLocal() const {
  RouteChoice best;
  for (Instance* instance : nearest_) {
    if (instance->view.role != InstanceRole::kDecode || LacksRoom(*instance, request_)) continue;
    const RouteChoice choice = MakeChoice(MakePrefill(instance), instance);
    if (!choice.is_predicted || choice.num_cached == 0) continue;
    const auto rank = [this](const RouteChoice& c) {
      return std::tuple(Differs(c.decode->view, request_), c.cost_ms,
                        absl::string_view(c.decode->view.id.value()));
    };
    if (best.decode == nullptr || rank(choice) < rank(best)) best = choice;
  }
  return best;
}

RouteChoice RouteChooser::ChooseFallback() const {
  RouteChoice best;
  if (AnyPrefills()) return best;
  std::vector<Instance*> candidates = nearest_;
  for (const auto& [key, kind] : cluster_.instances.kinds()) {
    AppendFirstWithRoom(kind, request_, &candidates);
  }
  for (Instance* instance : candidates) {
    if (instance->view.role != InstanceRole::kDecode) continue;
    const RouteChoice choice = MakeChoice(MakePrefill(instance), instance);
    const auto rank = [this](const RouteChoice& c) {
      return std::tuple(Differs(c.decode->view, request_), LacksRoom(*c.decode, request_),
                        c.cost_ms, -c.decode->num_free_blocks,
                        absl::string_view(c.decode->view.id.value()));
    };
    if (best.decode == nullptr || rank(choice) < rank(best)) best = choice;
  }
  return best;
}

RouteChooser::Prefill RouteChooser::MakePrefill(Instance* instance) const {
  const SpeedModel& speed = instance->kind->speed;
  const int block_size = instance->view.layout.block_size;
  Prefill prefill{.instance = instance};
  // The last token is always computed: what follows it is drawn from that.
  prefill.num_cached =
      std::min(NumCached(*instance), (request_.num_prompt_tokens - 1) / block_size * block_size);
  prefill.compute_ms = speed.PrefillMs(
      instance->load,
      {.num_tokens = request_.num_prompt_tokens, .num_cached = std::max(0, prefill.num_cached)});
  prefill.ttft_ms = speed.WaitMs(instance->load) + prefill.compute_ms;
  prefill.delay_ms = kDelayWeight * instance->load.num_rows * prefill.compute_ms;
  return prefill;
}

RouteChoice RouteChooser::MakeChoice(const Prefill& prefill, Instance* decode) const {
  const SpeedModel& speed = decode->kind->speed;
  RouteChoice choice{.prefill = prefill.instance,
                     .decode = decode,
                     .num_cached = prefill.num_cached,
                     .ttft_ms = prefill.ttft_ms};
  choice.tpot_ms = speed.StepMs(decode->load, request_.num_prompt_tokens);
  choice.is_predicted = prefill.instance->kind->speed.knows_prefill() && speed.knows_decode();
  choice.cost_ms = prefill.ttft_ms + prefill.delay_ms +
                   TokensAhead(request_) * choice.tpot_ms * (1 + kCrowding * decode->load.num_rows);
  if (decode == prefill.instance) return choice;
  // Prompts that wait there will be computed between its steps.
  const int num_missing = request_.num_prompt_tokens - NumCached(*decode);
  choice.cost_ms += kHandoffMs + speed.WaitMs(decode->load) +
                    ExposedTransferMs(decode->view.layout, num_missing,
                                      cluster_.kv_bytes_per_second, prefill.compute_ms);
  return choice;
}

void RouteChooser::FindNearest() {
  if (cluster_.prefixes.num_entries() == 0) return;
  std::vector<int> slots;
  for (const PromptPrefixes& prefixes : request_.prefixes) {
    if (!cluster_.instances.num_by_block_size().contains(prefixes.block_size)) continue;
    const auto keys =
        absl::MakeConstSpan(prefixes.keys).first(cluster_.prefixes.NumHeldByAny(prefixes.keys));
    known_keys_.emplace_back(prefixes.block_size, keys);
    cluster_.prefixes.AppendNearest(keys, kNumNearest, &slots);
  }
  for (int slot : slots) {
    Instance* const instance = cluster_.instances.at_slot(slot);
    if (instance != nullptr && Usable(*instance, request_)) nearest_.push_back(instance);
  }
}

int RouteChooser::NumCached(const Instance& instance) const {
  for (const auto& [block_size, keys] : known_keys_) {
    if (block_size != instance.view.layout.block_size) continue;
    const int num_tokens = cluster_.prefixes.NumHeld(instance.slot, keys) * block_size;
    return std::min(num_tokens, request_.num_prompt_tokens);
  }
  return 0;
}

bool RouteChooser::AnyPrefills() const {
  std::vector<Instance*> found;
  for (const auto& [key, kind] : cluster_.instances.kinds()) {
    AppendFirst(kind.by_wait, request_, &found);
  }
  return !found.empty();
}

absl::Status RouteChooser::WhyUnavailable(const std::string& pairing_reason) const {
  constexpr int kMaxNamed = 4;  // keeps the message readable in a large cluster
  for (const InstanceRole role : {InstanceRole::kPrefill, InstanceRole::kDecode}) {
    std::vector<std::string> unusable;
    bool any_usable = false;
    for (const auto& [id, instance] : cluster_.instances.instances()) {
      const InstanceView& view = instance.view;
      if (view.role != role && view.role != InstanceRole::kMixed) continue;
      any_usable = any_usable || Usable(instance, request_);
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

}  // namespace tandem
