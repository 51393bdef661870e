// How the next token of a request is chosen. Semantics and names follow vLLM's and OpenAI's APIs.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/core/ids.h"

namespace tandem {

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 0;             // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and output
  float presence_penalty = 0.0f;    // over output
  float frequency_penalty = 0.0f;   // over output
  std::vector<std::pair<TokenId, float>> logit_bias;

  // The draw at a position is a function of (seed, sample_index, position) alone, so a replay on
  // another worker draws the same.
  uint64_t seed = 0;
  uint32_t sample_index = 0;  // which of the request's n samples

  int max_tokens = 16;
  int min_tokens = 0;  // stop tokens cannot be drawn before this many
  std::vector<TokenId>
      stop_token_ids;  // includes the model's end tokens unless the request ignores them

  int num_logprobs = -1;         // top alternatives reported per token; -1: no logprobs at all
  int num_prompt_logprobs = -1;  // the same for prompt positions

  // INVALID_ARGUMENT whose message starts with the offending field's name.
  absl::Status Validate(int vocab_size) const;
};

}  // namespace tandem
