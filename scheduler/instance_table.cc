#include "scheduler/instance_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tandem {
namespace {

// Kinds without instances that are remembered: workers come back, and their speed is known then.
constexpr size_t kMaxKinds = 64;

// What a gateway has not said the end of for so long, it has forgotten, or it has died.
constexpr absl::Duration kLongestRequest = absl::Minutes(10);

double Squares(const PromptWork& prompt) {
  const double tokens = prompt.num_tokens;
  const double cached = prompt.num_cached;
  return tokens * tokens - cached * cached;
}

// What is reported: of queued prompts only their number and their tokens, so of equal lengths.
InstanceLoad ReportedLoad(const InstanceView& view) {
  const auto tokens = static_cast<double>(view.num_queued_tokens);
  const int num_rows = view.role == InstanceRole::kPrefill ? view.num_decoding : view.num_requests;
  // Those that are announced or being received will be as long as those that decode, on average.
  const double length = view.num_decoding == 0
                            ? 0
                            : static_cast<double>(view.num_decoding_tokens) / view.num_decoding;
  return {.num_queued_tokens = view.num_queued_tokens,
          .queued_squares = tokens * tokens / std::max(1, view.num_queued_prompts),
          .num_queued_prompts = view.num_queued_prompts,
          .num_rows = num_rows,
          .num_context_tokens = static_cast<int64_t>(length * num_rows),
          .chunk_tokens = view.chunk_tokens,
          .depth = view.depth};
}

bool IsSameKind(const InstanceView& a, const InstanceView& b) {
  return a.model_hash == b.model_hash && a.numerics == b.numerics && a.compute == b.compute &&
         a.layout.block_size == b.layout.block_size && b.layout.CheckCanReceive(a.layout).ok();
}

void Count(const Dispatch& dispatch, int sign, InstanceLoad* load, int* num_free_blocks) {
  const int num_tokens = dispatch.prompt.num_tokens - dispatch.prompt.num_cached;
  load->num_queued_tokens += sign * num_tokens;
  load->queued_squares += sign * Squares(dispatch.prompt);
  load->num_queued_prompts += num_tokens > 0 ? sign : 0;
  load->num_rows += sign * dispatch.num_rows;
  load->num_context_tokens += sign * dispatch.num_context_tokens;
  *num_free_blocks -= sign * dispatch.num_blocks;
}

// The row of a request that has ended, which a report may not have had any more.
void EndRow(const Dispatch& dispatch, InstanceLoad* load) {
  load->num_rows = std::max(0, load->num_rows - dispatch.num_rows);
  load->num_context_tokens =
      std::max<int64_t>(0, load->num_context_tokens - dispatch.num_context_tokens);
}

}  // namespace

absl::string_view InstanceRoleName(InstanceRole role) {
  static constexpr std::array<absl::string_view, 3> kNames = {"prefill", "decode", "mixed"};
  return kNames[static_cast<int>(role)];
}

InstanceTable::Instance& InstanceTable::Update(const InstanceView& view, absl::Time now) {
  const auto [entry, is_new] = instances_.try_emplace(view.id);
  Instance* const instance = &entry->second;
  if (is_new) Enter(instance);
  Unrank(instance);
  latest_ = std::max(latest_, now);
  if (view.epoch != instance->view.epoch) Forget(instance);
  TakeReported(instance, now);
  if (is_new || !IsSameKind(view, instance->view)) {
    Leave(instance);
    Join(view, instance);
  }
  if (view.num_steps != instance->view.num_steps) instance->kind->last_step = now;
  instance->view = view;
  instance->last_report = now;
  instance->kind->speed.Learn(view.latency);
  instance->load = ReportedLoad(view);
  instance->num_free_blocks = view.num_free_blocks;
  for (const auto& [request, dispatch] : instance->dispatched_) {
    Count(dispatch, 1, &instance->load, &instance->num_free_blocks);
  }
  for (const Dispatch& dispatch : instance->ended_) EndRow(dispatch, &instance->load);
  Rerank(instance);
  return *instance;
}

void InstanceTable::TakeReported(Instance* instance, absl::Time now) {
  std::vector<RequestId> told, lost;
  for (const auto& [request, dispatch] : instance->dispatched_) {
    if (dispatch.time + report_lag_ <= now) told.push_back(request);
  }
  for (RequestId request : told) {
    const Dispatch dispatch = instance->dispatched_.at(request);
    if (dispatch.num_rows == 0) {
      Drop(instance, request);
    } else {
      instance->reported_[request] = dispatch;
      instance->dispatched_.erase(request);
    }
  }
  for (const auto& [request, dispatch] : instance->reported_) {
    if (dispatch.time + kLongestRequest <= now) lost.push_back(request);
  }
  for (RequestId request : lost) Drop(instance, request);
  std::erase_if(instance->ended_,
                [&](const Dispatch& dispatch) { return dispatch.time + report_lag_ <= now; });
}

void InstanceTable::Forget(Instance* instance) {
  while (!instance->dispatched_.empty()) Drop(instance, instance->dispatched_.begin()->first);
  while (!instance->reported_.empty()) Drop(instance, instance->reported_.begin()->first);
  instance->ended_.clear();
}

void InstanceTable::Enter(Instance* instance) {
  if (free_slots_.empty()) {
    free_slots_.insert(static_cast<int>(slots_.size()));
    slots_.push_back(nullptr);
  }
  instance->slot = *free_slots_.begin();
  free_slots_.erase(free_slots_.begin());
  slots_[instance->slot] = instance;
}

void InstanceTable::Remove(const InstanceId& id) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  Instance* const instance = &found->second;
  Unrank(instance);
  Forget(instance);
  Leave(instance);
  slots_[instance->slot] = nullptr;
  free_slots_.insert(instance->slot);
  instances_.erase(found);
}

InstanceTable::Instance* InstanceTable::Find(const InstanceId& id) {
  const auto found = instances_.find(id);
  return found == instances_.end() ? nullptr : &found->second;
}

void InstanceTable::Join(const InstanceView& view, Instance* instance) {
  if (kinds_.size() > kMaxKinds) {
    std::erase_if(kinds_, [](const auto& kind) { return kind.second.num_instances == 0; });
  }
  Kind& kind = kinds_[{view.model_hash, view.numerics, view.compute, view.layout.DebugString()}];
  kind.model_hash = view.model_hash;
  kind.layout = view.layout;
  kind.numerics = view.numerics;
  ++kind.num_instances;
  ++num_by_block_size_[view.layout.block_size];
  instance->kind = &kind;
}

void InstanceTable::Leave(Instance* instance) {
  if (instance->kind == nullptr) return;
  --instance->kind->num_instances;
  const auto found = num_by_block_size_.find(instance->kind->layout.block_size);
  if (--found->second == 0) num_by_block_size_.erase(found);
  instance->kind = nullptr;
}

void InstanceTable::Add(Instance* instance, RequestId request, const Dispatch& dispatch) {
  Unrank(instance);
  latest_ = std::max(latest_, dispatch.time);
  instance->dispatched_[request] = dispatch;
  places_[request].push_back(instance);
  Count(dispatch, 1, &instance->load, &instance->num_free_blocks);
  Rerank(instance);
}

void InstanceTable::Complete(RequestId request) {
  const auto found = places_.find(request);
  if (found == places_.end()) return;
  const absl::InlinedVector<Instance*, 2> places = found->second;
  for (Instance* instance : places) {
    Unrank(instance);
    const auto reported = instance->reported_.find(request);
    if (reported != instance->reported_.end()) {
      instance->ended_.push_back(reported->second);
      instance->ended_.back().time = latest_;
      EndRow(reported->second, &instance->load);
    }
    Drop(instance, request);
    Rerank(instance);
  }
}

void InstanceTable::Drop(Instance* instance, RequestId request) {
  const auto found = instance->dispatched_.find(request);
  if (found != instance->dispatched_.end()) {
    Count(found->second, -1, &instance->load, &instance->num_free_blocks);
    instance->dispatched_.erase(found);
  }
  instance->reported_.erase(request);
  const auto places = places_.find(request);
  auto& left = places->second;
  left.erase(std::find(left.begin(), left.end(), instance));
  if (left.empty()) places_.erase(places);
}

void InstanceTable::Unrank(Instance* instance) {
  if (!std::exchange(instance->is_ranked_, false)) return;
  const absl::string_view id = instance->view.id.value();
  const double room = -instance->num_free_blocks;
  Kind& kind = *instance->kind;
  kind.by_wait.erase({instance->prefill_ms_, 0, id});
  kind.by_step.erase({instance->step_ms_, room, id});
  kind.by_room.erase({room, 0, id});
}

void InstanceTable::Rerank(Instance* instance) {
  if (!instance->Usable()) return;
  const absl::string_view id = instance->view.id.value();
  const double room = -instance->num_free_blocks;
  Kind& kind = *instance->kind;
  instance->is_ranked_ = true;
  instance->prefill_ms_ =
      kind.speed.WaitMs(instance->load) + kind.speed.PrefillMs(instance->load, {.num_tokens = 1});
  instance->step_ms_ = kind.speed.StepMs(instance->load, 0);
  if (instance->view.role != InstanceRole::kDecode) {
    kind.by_wait[{instance->prefill_ms_, 0, id}] = instance;
  }
  if (instance->view.role != InstanceRole::kPrefill) {
    kind.by_step[{instance->step_ms_, room, id}] = instance;
    kind.by_room[{room, 0, id}] = instance;
  }
}

}  // namespace tandem
