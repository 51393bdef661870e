// What one sample has said: joins the token events of its workers, over all attempts, into tokens,
// text and the way it ended. Knows nothing of calls and of time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/ids.h"
#include "engine/core/request.h"
#include "engine/tokenizer/tokenizer.h"
#include "proto/worker.pb.h"
#include "server/gateway/output_text.h"

namespace tandem {

struct GenerationDelta;
struct GenerationRequest;

// How a sample ended.
struct Ending {
  FinishReason reason = FinishReason::kNone;  // kNone: not yet; else kStop or kLength
  std::optional<std::string> stop_string;     // the one that matched
  std::optional<TokenId> stop_token;          // one that the client named
};

// Used by one thread.
class Transcript {
 public:
  // Both outlive it.
  Transcript(const GenerationRequest& request, const Tokenizer& tokenizer);

  // What `event` adds: nothing that an earlier event or attempt has brought, and no token after a
  // stop string. Events come in the order of their tokens. The delta's times are left empty.
  GenerationDelta Take(const v1::TokenEvent& event);

  // All that were drawn, a stop token included: with them another attempt goes on.
  const std::vector<uint32_t>& tokens() const { return tokens_; }
  int num_tokens() const { return static_cast<int>(tokens_.size()); }
  const Ending& ending() const { return ending_; }

 private:
  void TakePromptLogprobs(const v1::TokenEvent& event, GenerationDelta& delta);
  void TakeTokens(const v1::TokenEvent& event, GenerationDelta& delta);
  void FinishBy(const v1::TokenEvent& event, GenerationDelta& delta);
  void DropOutput(GenerationDelta& delta);

  const GenerationRequest& request_;
  OutputText output_;
  std::vector<uint32_t> tokens_;
  int next_prompt_logprob_ = 0;
  Ending ending_;
};

}  // namespace tandem
