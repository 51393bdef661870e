// The prompts of a run: tokens, or words where an endpoint takes text only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/sim/workload.h"

namespace tandem {

struct PromptOptions {
  // Ids to draw from, both included. The default lies behind the control and byte tokens and within
  // the vocabulary of every common model.
  uint32_t first_token = 1000;
  uint32_t last_token = 30000;
  int block_tokens = 512;  // of the workload's block ids
  // Runs of different seeds share no prefix, so that each meets a cache without its prompts.
  uint64_t seed = 0;
};

// Deterministic; may be called by several threads.
class PromptMaker {
 public:
  explicit PromptMaker(const PromptOptions& options) : options_(options) {}

  // Exactly request.prompt_tokens ids. Blocks of one id hold the same tokens; a request without
  // block ids has tokens of its own, which `index` decides.
  std::vector<uint32_t> Tokens(const TimedRequest& request, int64_t index) const;

  // The request's own text if it has one, else as many common English words: about one token each.
  std::string Text(const TimedRequest& request, int64_t index) const;

 private:
  // Calls `append` with a random number for each token of the prompt.
  template <typename Append>
  void ForEachToken(const TimedRequest& request, int64_t index, Append append) const;

  const PromptOptions options_;
};

}  // namespace tandem
