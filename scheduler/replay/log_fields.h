// The fields of plain structs that the event log holds, by name: written and read by one list.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/core/kv_layout.h"
#include "engine/core/request.h"
#include "engine/core/sampling_params.h"
#include "scheduler/instance_options.h"
#include "scheduler/instance_view.h"
#include "scheduler/latency_model.h"
#include "scheduler/prefix_journal.h"
#include "scheduler/route.h"
#include "scheduler/router.h"

namespace tandem {

// Each calls `field(name, pointer to member)` for every field, in the order of the log.

template <typename Field>
void ListFields(const InstanceOptions*, const Field& field) {
  field("num_blocks", &InstanceOptions::num_blocks);
  field("block_size", &InstanceOptions::block_size);
  field("num_host_blocks", &InstanceOptions::num_host_blocks);
  field("block_copy_time", &InstanceOptions::block_copy_time);
  field("max_model_len", &InstanceOptions::max_model_len);
  field("max_num_seqs", &InstanceOptions::max_num_seqs);
  field("max_num_batched_tokens", &InstanceOptions::max_num_batched_tokens);
  field("prefill_batch_tokens", &InstanceOptions::prefill_batch_tokens);
  field("max_queued_requests", &InstanceOptions::max_queued_requests);
  field("prefix_caching", &InstanceOptions::prefix_caching);
  field("depth", &InstanceOptions::depth);
  field("lease", &InstanceOptions::lease);
}

template <typename Field>
void ListFields(const SamplingParams*, const Field& field) {
  field("temperature", &SamplingParams::temperature);
  field("top_k", &SamplingParams::top_k);
  field("top_p", &SamplingParams::top_p);
  field("min_p", &SamplingParams::min_p);
  field("repetition_penalty", &SamplingParams::repetition_penalty);
  field("presence_penalty", &SamplingParams::presence_penalty);
  field("frequency_penalty", &SamplingParams::frequency_penalty);
  field("logit_bias", &SamplingParams::logit_bias);
  field("seed", &SamplingParams::seed);
  field("sample_index", &SamplingParams::sample_index);
  field("max_tokens", &SamplingParams::max_tokens);
  field("min_tokens", &SamplingParams::min_tokens);
  field("stop_token_ids", &SamplingParams::stop_token_ids);
  field("num_logprobs", &SamplingParams::num_logprobs);
  field("num_prompt_logprobs", &SamplingParams::num_prompt_logprobs);
}

template <typename Field>
void ListFields(const Request*, const Field& field) {
  field("id", &Request::id);
  field("attempt", &Request::attempt);
  field("prompt", &Request::prompt);
  field("generated", &Request::generated);
  field("sampling", &Request::sampling);
  field("cache_salt", &Request::cache_salt);
  field("tenant", &Request::tenant);
  field("priority", &Request::priority);
  field("arrival", &Request::arrival);
  field("due", &Request::due);
  field("deadline", &Request::deadline);
  field("hand_off", &Request::hand_off);
}

template <typename Field>
void ListFields(const PrefixChanges*, const Field& field) {
  field("restart", &PrefixChanges::restart);
  field("added", &PrefixChanges::added);
  field("removed", &PrefixChanges::removed);
}

template <typename Field>
void ListFields(const RouterOptions*, const Field& field) {
  field("seed", &RouterOptions::seed);
  field("heartbeat_timeout", &RouterOptions::heartbeat_timeout);
  field("report_lag", &RouterOptions::report_lag);
  field("kv_bytes_per_second", &RouterOptions::kv_bytes_per_second);
  field("speed_expires", &RouterOptions::speed_expires);
  field("max_prefix_entries", &RouterOptions::max_prefix_entries);
}

template <typename Field>
void ListFields(const LatencyCoefficients::Prefill*, const Field& field) {
  field("base_ms", &LatencyCoefficients::Prefill::base_ms);
  field("token_ms", &LatencyCoefficients::Prefill::token_ms);
  field("square_ms", &LatencyCoefficients::Prefill::square_ms);
}

template <typename Field>
void ListFields(const LatencyCoefficients::Decode*, const Field& field) {
  field("base_ms", &LatencyCoefficients::Decode::base_ms);
  field("context_ms", &LatencyCoefficients::Decode::context_ms);
  field("row_ms", &LatencyCoefficients::Decode::row_ms);
}

template <typename Field>
void ListFields(const LatencyCoefficients*, const Field& field) {
  field("prefill", &LatencyCoefficients::prefill);
  field("decode", &LatencyCoefficients::decode);
  field("large_decode", &LatencyCoefficients::large_decode);
  field("large_decode_rows", &LatencyCoefficients::large_decode_rows);
}

template <typename Field>
void ListFields(const StepLatency*, const Field& field) {
  field("knows_prefill", &StepLatency::knows_prefill);
  field("knows_decode", &StepLatency::knows_decode);
  field("coefficients", &StepLatency::coefficients);
}

template <typename Field>
void ListFields(const KvLayout*, const Field& field) {
  field("num_layers", &KvLayout::num_layers);
  field("num_kv_heads", &KvLayout::num_kv_heads);
  field("head_dim", &KvLayout::head_dim);
  field("block_size", &KvLayout::block_size);
  field("dtype", &KvLayout::dtype);
}

// All but the id, which stands beside it.
template <typename Field>
void ListFields(const InstanceView*, const Field& field) {
  field("role", &InstanceView::role);
  field("epoch", &InstanceView::epoch);
  field("address", &InstanceView::address);
  field("model_hash", &InstanceView::model_hash);
  field("numerics", &InstanceView::numerics);
  field("compute", &InstanceView::compute);
  field("layout", &InstanceView::layout);
  field("num_free_blocks", &InstanceView::num_free_blocks);
  field("num_queued_tokens", &InstanceView::num_queued_tokens);
  field("num_queued_prompts", &InstanceView::num_queued_prompts);
  field("num_requests", &InstanceView::num_requests);
  field("num_decoding", &InstanceView::num_decoding);
  field("num_decoding_tokens", &InstanceView::num_decoding_tokens);
  field("latency", &InstanceView::latency);
  field("num_steps", &InstanceView::num_steps);
  field("chunk_tokens", &InstanceView::chunk_tokens);
  field("depth", &InstanceView::depth);
  field("healthy", &InstanceView::healthy);
  field("draining", &InstanceView::draining);
}

template <typename Field>
void ListFields(const PromptPrefixes*, const Field& field) {
  field("block_size", &PromptPrefixes::block_size);
  field("keys", &PromptPrefixes::keys);
}

template <typename Field>
void ListFields(const RouteRequest*, const Field& field) {
  field("num_prompt_tokens", &RouteRequest::num_prompt_tokens);
  field("max_tokens", &RouteRequest::max_tokens);
  field("prefixes", &RouteRequest::prefixes);
  field("ttft_target", &RouteRequest::ttft_target);
  field("tpot_target", &RouteRequest::tpot_target);
  field("reject_late", &RouteRequest::reject_late);
  field("replay_of", &RouteRequest::replay_of);
  field("attempt", &RouteRequest::attempt);
  field("avoid", &RouteRequest::avoid);
  field("numerics", &RouteRequest::numerics);
}

template <typename Field>
void ListFields(const RouteTarget*, const Field& field) {
  field("id", &RouteTarget::id);
  field("address", &RouteTarget::address);
  field("epoch", &RouteTarget::epoch);
}

template <typename Field>
void ListFields(const RouteDecision*, const Field& field) {
  field("request", &RouteDecision::request);
  field("attempt", &RouteDecision::attempt);
  field("prefill", &RouteDecision::prefill);
  field("decode", &RouteDecision::decode);
  field("fallback", &RouteDecision::fallback);
  field("numerics", &RouteDecision::numerics);
  field("inexact", &RouteDecision::inexact);
  field("ttft", &RouteDecision::ttft);
  field("tpot", &RouteDecision::tpot);
}

struct AnyField {
  template <typename Member>
  void operator()(const char* name, Member member) const {}
};
template <typename T>
concept HasFields = requires(const T* value) {
  ListFields(value, AnyField());
};

// Equal in every field, also where the struct itself cannot be compared.
template <typename T>
bool IsSame(const T& a, const T& b);
template <typename T>
bool IsSame(const std::optional<T>& a, const std::optional<T>& b);
template <typename T>
bool IsSame(const std::vector<T>& a, const std::vector<T>& b);

// --- Definitions.

template <typename T>
bool IsSame(const T& a, const T& b) {
  if constexpr (HasFields<T>) {
    bool is_same = true;
    ListFields(
        &a, [&](const char* name, auto field) { is_same = is_same && IsSame(a.*field, b.*field); });
    return is_same;
  } else {
    return a == b;
  }
}

template <typename T>
bool IsSame(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() && b.has_value() ? IsSame(*a, *b) : a.has_value() == b.has_value();
}

template <typename T>
bool IsSame(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return IsSame(x, y); });
}

}  // namespace tandem
