#include "server/worker/convert.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

SamplingParams FromProto(const v1::SamplingParams& message) {
  SamplingParams params;
  if (message.has_temperature()) params.temperature = message.temperature();
  if (message.has_top_k()) params.top_k = message.top_k();
  if (message.has_top_p()) params.top_p = message.top_p();
  if (message.has_min_p()) params.min_p = message.min_p();
  if (message.has_repetition_penalty()) params.repetition_penalty = message.repetition_penalty();
  if (message.has_presence_penalty()) params.presence_penalty = message.presence_penalty();
  if (message.has_frequency_penalty()) params.frequency_penalty = message.frequency_penalty();
  for (const auto& [token, bias] : message.logit_bias()) {
    params.logit_bias.emplace_back(static_cast<TokenId>(token), bias);
  }
  params.seed = message.seed();
  params.sample_index = message.sample_index();
  if (message.has_max_tokens()) params.max_tokens = message.max_tokens();
  if (message.has_min_tokens()) params.min_tokens = message.min_tokens();
  params.stop_token_ids.assign(message.stop_token_ids().begin(), message.stop_token_ids().end());
  if (message.has_num_logprobs()) params.num_logprobs = message.num_logprobs();
  if (message.has_num_prompt_logprobs()) params.num_prompt_logprobs = message.num_prompt_logprobs();
  return params;
}

absl::Status CopyTokens(const google::protobuf::RepeatedField<uint32_t>& ids,
                        absl::string_view field, int vocab_size, std::vector<TokenId>& tokens) {
  tokens.reserve(ids.size());
  for (uint32_t id : ids) {
    if (id >= static_cast<uint32_t>(vocab_size)) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, " has token id ", id, " outside the vocabulary of ", vocab_size));
    }
    tokens.push_back(static_cast<TokenId>(id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Request> FromProto(const v1::EngineRequest& message, int vocab_size) {
  Request request;
  request.id = RequestId(message.id());
  request.attempt = message.attempt();
  if (message.prompt().empty()) return absl::InvalidArgumentError("prompt has no tokens");
  RETURN_IF_ERROR(CopyTokens(message.prompt(), "prompt", vocab_size, request.prompt));
  RETURN_IF_ERROR(CopyTokens(message.generated(), "generated", vocab_size, request.generated));
  request.sampling = FromProto(message.sampling());
  RETURN_IF_ERROR(request.sampling.Validate(vocab_size));
  request.priority = message.priority();
  request.cache_salt = message.cache_salt();
  request.tenant = message.tenant();
  if (message.due_unix_us() > 0) request.due = absl::FromUnixMicros(message.due_unix_us());
  request.arrival = absl::FromUnixMicros(message.arrival_unix_us());
  if (message.deadline_unix_us() > 0) {
    request.deadline = absl::FromUnixMicros(message.deadline_unix_us());
  }
  return request;
}

absl::StatusOr<KvLayout> FromProto(const v1::KvLayoutInfo& message) {
  if (message.version() != KvLayout::kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("KV layout version ", message.version(), ", expected ", KvLayout::kVersion));
  }
  KvLayout layout{.num_layers = message.num_layers(),
                  .num_kv_heads = message.num_kv_heads(),
                  .head_dim = message.head_dim(),
                  .block_size = message.block_size()};
  ASSIGN_OR_RETURN(layout.dtype, ParseDType(message.dtype()));
  return layout;
}

v1::KvLayoutInfo ToProto(const KvLayout& layout) {
  v1::KvLayoutInfo message;
  message.set_version(KvLayout::kVersion);
  message.set_num_layers(layout.num_layers);
  message.set_num_kv_heads(layout.num_kv_heads);
  message.set_head_dim(layout.head_dim);
  message.set_block_size(layout.block_size);
  message.set_dtype(std::string(GetDTypeInfo(layout.dtype).name));
  return message;
}

v1::SampledToken ToProto(const SampledToken& token) {
  v1::SampledToken message;
  message.set_token(token.token);
  message.set_logprob(token.logprob);
  for (const TokenLogprob& alternative : token.top) {
    v1::TokenLogprob* top = message.add_top();
    top->set_token(alternative.token);
    top->set_logprob(alternative.logprob);
  }
  return message;
}

v1::PromptLogprob ToProto(const PromptLogprob& logprob) {
  v1::PromptLogprob message;
  message.set_position(logprob.position);
  *message.mutable_token() = ToProto(logprob.token);
  return message;
}

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return v1::FINISH_REASON_STOP;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case FinishReason::kAborted:
    case FinishReason::kError:
      return v1::FINISH_REASON_ABORTED;
    case FinishReason::kNone:
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

v1::StepLatency ToProto(const StepLatency& latency) {
  v1::StepLatency message;
  const LatencyCoefficients& from = latency.coefficients;
  if (latency.knows_prefill) {
    for (double value : {from.prefill.base_ms, from.prefill.token_ms, from.prefill.square_ms}) {
      message.add_prefill(value);
    }
  }
  if (latency.knows_decode) {
    const auto add = [](const LatencyCoefficients::Decode& decode, auto* to) {
      for (double value : {decode.base_ms, decode.context_ms, decode.row_ms}) to->Add(value);
    };
    add(from.decode, message.mutable_decode());
    add(from.large_decode, message.mutable_large_decode());
    message.set_large_decode_rows(from.large_decode_rows);
  }
  message.set_prefill_steps(latency.steps.prefill);
  message.set_decode_steps(latency.steps.decode);
  message.set_mixed_steps(latency.steps.mixed);
  message.set_mean_error(latency.mean_error);
  return message;
}

}  // namespace tandem
