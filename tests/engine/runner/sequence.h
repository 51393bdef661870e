// A sequence and a minimal scheduler, for tests that drive a ModelRunner: chunked prefill, then one
// token a step, all sequences in every step.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/core/log.h"
#include "engine/runner/model_runner.h"

namespace tandem {

class Sequence {
 public:
  Sequence(RequestId id, std::vector<TokenId> prompt, SamplingParams sampling,
           std::vector<BlockId> blocks)
      : id_(id),
        tokens_(std::move(prompt)),
        num_prompt_tokens_(tokens_.size()),
        sampling_(std::move(sampling)),
        blocks_(std::move(blocks)) {}

  // The next at most `chunk` positions; valid until Commit or until the sequence moves.
  BatchRow NextRow(int chunk) const {
    BatchRow row;
    row.request = id_;
    row.tokens = tokens_;
    row.num_prompt_tokens = static_cast<int>(num_prompt_tokens_);
    row.begin = num_computed_;
    row.num_tokens = std::min(chunk, static_cast<int>(tokens_.size()) - num_computed_);
    row.sample = row.begin + row.num_tokens == static_cast<int>(tokens_.size());
    row.sampling = &sampling_;
    row.block_table = blocks_;
    return row;
  }

  void Commit(const BatchRow& row, const RowOutput& output) {
    CHECK_OK(output.status);
    num_computed_ = row.begin + row.num_tokens;
    CHECK(output.tokens.size() == (row.sample ? 1u : 0u));
    for (const SampledToken& sampled : output.tokens) {
      tokens_.push_back(sampled.token);
      sampled_.push_back(sampled);
    }
    prompt_logprobs_.insert(prompt_logprobs_.end(), output.prompt_logprobs.begin(),
                            output.prompt_logprobs.end());
  }

  // Its KV is in other blocks from now on.
  void MoveTo(std::vector<BlockId> blocks) { blocks_ = std::move(blocks); }

  const std::vector<BlockId>& blocks() const { return blocks_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  size_t num_prompt_tokens() const { return num_prompt_tokens_; }
  const std::vector<SampledToken>& sampled() const { return sampled_; }
  const std::vector<PromptLogprob>& prompt_logprobs() const { return prompt_logprobs_; }
  absl::Span<const TokenId> output() const {
    return absl::MakeConstSpan(tokens_).subspan(num_prompt_tokens_);
  }

 private:
  RequestId id_;
  std::vector<TokenId> tokens_;
  size_t num_prompt_tokens_;
  SamplingParams sampling_;
  std::vector<BlockId> blocks_;
  int num_computed_ = 0;
  std::vector<SampledToken> sampled_;
  std::vector<PromptLogprob> prompt_logprobs_;
};

// Computes all sequences together, prompts at most `chunk` positions a step, until each has
// `num_output` tokens. `chunk` shrinks to what the runner's step holds.
inline void Generate(ModelRunner& runner, std::vector<Sequence>& sequences, int chunk,
                     size_t num_output) {
  for (uint64_t step = 1;; ++step) {
    Batch batch;
    batch.step = step;
    std::vector<Sequence*> members;
    int room = runner.max_num_batched_tokens();
    for (Sequence& sequence : sequences) {
      if (sequence.output().size() >= num_output || room == 0) continue;
      batch.rows.push_back(sequence.NextRow(std::min(chunk, room)));
      room -= batch.rows.back().num_tokens;
      members.push_back(&sequence);
    }
    if (members.empty()) return;
    const auto output = runner.Run(batch);
    CHECK_OK(output.status());
    for (size_t i = 0; i < members.size(); ++i) {
      members[i]->Commit(batch.rows[i], output->rows[i]);
    }
  }
}

}  // namespace tandem
