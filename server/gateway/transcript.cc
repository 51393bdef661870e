#include "server/gateway/transcript.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "server/gateway/generation.h"
#include "server/gateway/wire_format.h"

namespace tandem {

Transcript::Transcript(const GenerationRequest& request, const Tokenizer& tokenizer)
    : request_(request),
      output_(tokenizer, {.stop_strings = request.stop_strings,
                          .include_stop_str_in_output = request.include_stop_str_in_output,
                          .skip_special_tokens = request.skip_special_tokens}) {}

GenerationDelta Transcript::Take(const v1::TokenEvent& event) {
  GenerationDelta delta;
  TakePromptLogprobs(event, delta);
  TakeTokens(event, delta);
  if (ending_.reason == FinishReason::kNone) FinishBy(event, delta);
  if (request_.is_prompt_only) DropOutput(delta);
  return delta;
}

void Transcript::TakePromptLogprobs(const v1::TokenEvent& event, GenerationDelta& delta) {
  for (const v1::PromptLogprob& logprob : event.prompt_logprobs()) {
    // An earlier attempt may have told some of them.
    if (logprob.position() < next_prompt_logprob_) continue;
    next_prompt_logprob_ = logprob.position() + 1;
    delta.prompt_logprobs.push_back(FromProto(logprob));
  }
}

void Transcript::TakeTokens(const v1::TokenEvent& event, GenerationDelta& delta) {
  for (int i = 0; i < event.tokens_size(); ++i) {
    // A decode worker that had to compute the prompt itself draws the first token once more.
    if (event.index() + i < num_tokens()) continue;
    const uint32_t token = event.tokens(i).token();
    delta.tokens.push_back(FromProto(event.tokens(i)));
    tokens_.push_back(token);
    const bool is_stop_token = event.finish_reason() == v1::FINISH_REASON_STOP &&
                               i + 1 == event.tokens_size() && event.has_stop_token() &&
                               token == event.stop_token();
    if (is_stop_token && !request_.include_stop_str_in_output) continue;
    const bool may_stop = num_tokens() > request_.sampling.min_tokens;
    OutputText::Piece piece = output_.Append(static_cast<TokenId>(token), may_stop);
    delta.text += piece.text;
    if (piece.matched) {
      ending_ = {.reason = FinishReason::kStop, .stop_string = std::move(piece.matched)};
      return;
    }
  }
}

void Transcript::FinishBy(const v1::TokenEvent& event, GenerationDelta& delta) {
  if (event.finish_reason() == v1::FINISH_REASON_STOP) {
    ending_.reason = FinishReason::kStop;
    const TokenId token = static_cast<TokenId>(event.stop_token());
    if (event.has_stop_token() && absl::c_linear_search(request_.client_stop_token_ids, token)) {
      ending_.stop_token = token;
    }
  } else if (event.finish_reason() == v1::FINISH_REASON_LENGTH) {
    ending_.reason = FinishReason::kLength;
  } else {
    return;
  }
  OutputText::Piece rest = output_.Finish();
  delta.text += rest.text;
  if (rest.matched) {
    ending_ = {.reason = FinishReason::kStop, .stop_string = std::move(rest.matched)};
  }
}

void Transcript::DropOutput(GenerationDelta& delta) {
  delta.text.clear();
  delta.tokens.clear();
  if (ending_.reason != FinishReason::kNone) ending_ = {.reason = FinishReason::kLength};
}

}  // namespace tandem
