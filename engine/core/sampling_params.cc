#include "engine/core/sampling_params.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

absl::Status Refuse(absl::string_view field, absl::string_view rule, double value) {
  return absl::InvalidArgumentError(absl::StrCat(field, " must be ", rule, ", got ", value));
}

absl::Status CheckToken(absl::string_view field, TokenId token, int vocab_size) {
  if (token >= 0 && token < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has token id ", token, " outside the vocabulary of ", vocab_size));
}

}  // namespace

absl::Status SamplingParams::Validate(int vocab_size) const {
  // Written so that NaN fails as well.
  if (!(temperature >= 0) || std::isinf(temperature)) {
    return Refuse("temperature", "finite and at least 0", temperature);
  }
  if (top_k < 0) return Refuse("top_k", "at least 0", top_k);
  if (!(top_p > 0 && top_p <= 1)) return Refuse("top_p", "in (0, 1]", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return Refuse("min_p", "in [0, 1]", min_p);
  if (!(repetition_penalty > 0) || std::isinf(repetition_penalty)) {
    return Refuse("repetition_penalty", "finite and above 0", repetition_penalty);
  }
  if (!(std::abs(presence_penalty) <= 2)) {
    return Refuse("presence_penalty", "in [-2, 2]", presence_penalty);
  }
  if (!(std::abs(frequency_penalty) <= 2)) {
    return Refuse("frequency_penalty", "in [-2, 2]", frequency_penalty);
  }
  if (max_tokens < 1) return Refuse("max_tokens", "at least 1", max_tokens);
  if (min_tokens < 0 || min_tokens > max_tokens) {
    return Refuse("min_tokens", "between 0 and max_tokens", min_tokens);
  }
  for (const auto& [token, bias] : logit_bias) {
    if (absl::Status status = CheckToken("logit_bias", token, vocab_size); !status.ok()) {
      return status;
    }
    if (!(std::abs(bias) <= 100)) return Refuse("logit_bias", "in [-100, 100]", bias);
  }
  for (TokenId token : stop_token_ids) {
    if (absl::Status status = CheckToken("stop_token_ids", token, vocab_size); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
