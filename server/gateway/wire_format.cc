#include "server/gateway/wire_format.h"

#include <algorithm>
#include <vector>

namespace tandem {

v1::SamplingParams ToProto(const SamplingParams& params) {
  v1::SamplingParams proto;
  proto.set_temperature(params.temperature);
  proto.set_top_k(params.top_k);
  proto.set_top_p(params.top_p);
  proto.set_min_p(params.min_p);
  proto.set_repetition_penalty(params.repetition_penalty);
  proto.set_presence_penalty(params.presence_penalty);
  proto.set_frequency_penalty(params.frequency_penalty);
  for (const auto& [token, bias] : params.logit_bias) {
    (*proto.mutable_logit_bias())[static_cast<uint32_t>(token)] = bias;
  }
  proto.set_seed(params.seed);
  proto.set_sample_index(params.sample_index);
  proto.set_max_tokens(params.max_tokens);
  proto.set_min_tokens(params.min_tokens);
  proto.mutable_stop_token_ids()->Add(params.stop_token_ids.begin(), params.stop_token_ids.end());
  if (params.num_logprobs >= 0) proto.set_num_logprobs(params.num_logprobs);
  if (params.num_prompt_logprobs >= 0) {
    proto.set_num_prompt_logprobs(params.num_prompt_logprobs);
  }
  return proto;
}

SamplingParams FromProto(const v1::SamplingParams& proto) {
  SamplingParams params;
  if (proto.has_temperature()) params.temperature = proto.temperature();
  if (proto.has_top_k()) params.top_k = proto.top_k();
  if (proto.has_top_p()) params.top_p = proto.top_p();
  if (proto.has_min_p()) params.min_p = proto.min_p();
  if (proto.has_repetition_penalty()) params.repetition_penalty = proto.repetition_penalty();
  if (proto.has_presence_penalty()) params.presence_penalty = proto.presence_penalty();
  if (proto.has_frequency_penalty()) params.frequency_penalty = proto.frequency_penalty();
  for (const auto& [token, bias] : proto.logit_bias()) {
    params.logit_bias.emplace_back(static_cast<TokenId>(token), bias);
  }
  // A map has no order of its own; equal requests are equal structs.
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  if (proto.has_seed()) params.seed = proto.seed();
  params.sample_index = proto.sample_index();
  if (proto.has_max_tokens()) params.max_tokens = proto.max_tokens();
  if (proto.has_min_tokens()) params.min_tokens = proto.min_tokens();
  params.stop_token_ids.assign(proto.stop_token_ids().begin(), proto.stop_token_ids().end());
  if (proto.has_num_logprobs()) params.num_logprobs = proto.num_logprobs();
  if (proto.has_num_prompt_logprobs()) params.num_prompt_logprobs = proto.num_prompt_logprobs();
  return params;
}

SampledToken FromProto(const v1::SampledToken& proto) {
  SampledToken token{
      .token = static_cast<TokenId>(proto.token()), .logprob = proto.logprob(), .top = {}};
  token.top.reserve(proto.top_size());
  for (const v1::TokenLogprob& top : proto.top()) {
    token.top.push_back({static_cast<TokenId>(top.token()), top.logprob()});
  }
  return token;
}

PromptLogprob FromProto(const v1::PromptLogprob& proto) {
  return {.position = proto.position(), .token = FromProto(proto.token())};
}

}  // namespace tandem
