// The JSON of answers: objects and stream chunks of the OpenAI API, with vLLM's extensions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/gateway/api_request.h"
#include "server/gateway/generation.h"
#include "server/gateway/json_fields.h"
#include "server/gateway/prepared_request.h"
#include "server/gateway/usage.h"

namespace tandem {

// What all parts of one response share.
struct ResponseIdentity {
  std::string id;       // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;  // unix seconds
  std::string model;
};

// A whole choice.
struct Choice {
  std::string text;
  std::vector<SampledToken> tokens;
  std::vector<PromptLogprob> prompt_logprobs;
  GenerationSummary summary;
};

// Writes the parts of one response. Keeps references: request, prepared request and tokenizer
// outlive it. Text offsets run on from chunk to chunk, so chunks are made in order.
class OpenAiResponse {
 public:
  OpenAiResponse(ResponseIdentity identity, const ApiRequest& request,
                 const PreparedRequest& prepared, const Tokenizer& tokenizer);

  // The whole answer, choices in order.
  Json Whole(absl::Span<const Choice> choices, const Usage& usage);

  // Chunks of a stream. FirstChunk opens a choice: the role of a chat, the echoed prompt of a
  // completion; null where there is nothing to open with. FinishChunk closes it.
  Json FirstChunk(int choice, const std::vector<PromptLogprob>& prompt_logprobs);
  Json DeltaChunk(int choice, const GenerationDelta& delta);
  Json FinishChunk(int choice, const GenerationSummary& summary) const;
  // Its `choices` is empty: clients take token counts from such a chunk alone.
  Json UsageChunk(const Usage& usage) const;

  // {"prompt_tokens", ...}
  Json UsageJson(const Usage& usage) const;

 private:
  bool is_chat() const { return request_.kind == ApiKind::kChat; }
  const PreparedPrompt& prompt_of(int choice) const {
    return prepared_.prompts[choice / request_.n];
  }
  Json Envelope(absl::string_view object) const;
  // A chunk with one choice; `summary` closes it unless it is null.
  Json Chunk(int choice, Json content, Json logprobs, const GenerationSummary* summary) const;

  Json Logprobs(int choice, absl::Span<const SampledToken> tokens);
  Json ChatLogprobs(absl::Span<const SampledToken> tokens) const;
  Json EchoLogprobs(int choice, const std::vector<PromptLogprob>& prompt_logprobs);
  void AppendCompletionLogprob(int choice, const SampledToken& token, bool has_logprob,
                               Json& logprobs);
  Json PromptLogprobs(int choice, const std::vector<PromptLogprob>& prompt_logprobs) const;
  std::string TokenText(TokenId token) const;

  const ResponseIdentity identity_;
  const ApiRequest& request_;
  const PreparedRequest& prepared_;
  const Tokenizer& tokenizer_;
  std::vector<int> text_offsets_;  // by choice: characters of the tokens so far
};

// "stop" or "length"; null while the sample runs. The matched string or token id; null otherwise.
Json FinishReasonJson(const GenerationSummary& summary);
Json StopReasonJson(const GenerationSummary& summary);

// Sums over the samples of a request: {"ttft_ms","tpot_ms","kv_bytes","path","prefill","decode"},
// with timing also "timing":{"first_token_ms","second_token_ms"}, by stage (stage_timer.h), and
// what was predicted. The times and workers are those of the first sample.
Json TandemJson(absl::Span<const GenerationSummary> summaries, bool with_timing);

}  // namespace tandem
