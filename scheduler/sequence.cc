#include "scheduler/sequence.h"

#include <algorithm>

namespace tandem {

Sequence::Sequence(Request from, Turn turn, int max_num_tokens)
    : request(std::move(from)),
      turn(turn),
      num_prompt_tokens(static_cast<int>(request.prompt.size())),
      max_num_tokens(max_num_tokens),
      tokens(std::move(request.prompt)) {
  tokens.insert(tokens.end(), request.generated.begin(), request.generated.end());
  // Tokens follow the prompt's logprobs, so an attempt that drew some has sent them all.
  if (!request.generated.empty()) next_prompt_logprob = num_prompt_tokens;
  request.prompt.clear();
  request.generated.clear();
}

FinishReason Sequence::CheckFinish() const {
  const SamplingParams& sampling = request.sampling;
  if (num_output_tokens() == 0) return FinishReason::kNone;
  const auto& stops = sampling.stop_token_ids;
  if (num_output_tokens() >= sampling.min_tokens &&
      std::find(stops.begin(), stops.end(), tokens.back()) != stops.end()) {
    return FinishReason::kStop;
  }
  return num_tokens() >= max_num_tokens ? FinishReason::kLength : FinishReason::kNone;
}

std::vector<PromptLogprob> Sequence::TakeUnsent(const std::vector<PromptLogprob>& logprobs) {
  std::vector<PromptLogprob> unsent;
  for (const PromptLogprob& logprob : logprobs) {
    if (logprob.position < next_prompt_logprob) continue;
    next_prompt_logprob = logprob.position + 1;
    unsent.push_back(logprob);
  }
  return unsent;
}

BatchRow Sequence::MakeRow(int count) const {
  return BatchRow{.request = request.id,
                  .tokens = tokens,
                  .num_prompt_tokens = num_prompt_tokens,
                  .begin = num_computed_tokens,
                  .num_tokens = count,
                  .block_table = block_table,
                  .sample = count == num_uncomputed_tokens(),
                  .sampling = &request.sampling};
}

}  // namespace tandem
