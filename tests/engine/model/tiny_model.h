// Tiny checkpoints with golden logits (tests/golden/tiny), and what it takes to run Forward() on
// one without a runner.
#pragma once

#include <algorithm>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/core/log.h"
#include "engine/model/transformer.h"
#include "nlohmann/json.hpp"

namespace tandem {

inline std::string TinyModelPath(const std::string& name) {
  return std::string(TANDEM_SOURCE_DIR "/tests/golden/tiny/") + name;
}

inline std::vector<std::string> TinyModelNames() {
  return {"llama", "llama3_rope_tied", "llama_odd", "mistral_window", "qwen2", "qwen3", "gemma3"};
}

struct GoldenCase {
  std::vector<TokenId> prompt;
  std::vector<float> last_logits;  // after the prompt
  std::vector<TokenId> greedy;     // what follows
  std::vector<float> margins;      // of each greedy token over the second best

  std::vector<TokenId> Sequence() const {
    std::vector<TokenId> tokens = prompt;
    tokens.insert(tokens.end(), greedy.begin(), greedy.end());
    return tokens;
  }
};

inline std::vector<GoldenCase> LoadGoldenCases(const std::string& name) {
  const nlohmann::json golden =
      nlohmann::json::parse(std::ifstream(TinyModelPath(name) + "/golden.json"));
  std::vector<GoldenCase> cases;
  for (const nlohmann::json& c : golden.at("cases")) {
    cases.push_back({c.at("prompt"), c.at("last_logits"), c.at("greedy"), c.at("margins")});
  }
  return cases;
}

// Block ids [0, num_blocks) in an order that is neither ascending nor contiguous.
inline std::vector<BlockId> ShuffledBlocks(int num_blocks, int seed) {
  std::vector<BlockId> blocks(num_blocks);
  for (int i = 0; i < num_blocks; ++i) blocks[i] = i;
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(seed));
  return blocks;
}

// A tiny model with a KV pool for a few sequences of up to kMaxLen tokens.
class TinyModel {
 public:
  static constexpr int kMaxLen = 128;
  static constexpr int kBlockSize = 4;
  static constexpr int kBlocksPerSequence = kMaxLen / kBlockSize;
  static constexpr int kMaxSequences = 4;
  static constexpr int kMaxRows = 256;

  // `ops` must outlive it.
  TinyModel(const std::string& name, DType kv_dtype, Ops& ops) {
    auto model = LoadModel(TinyModelPath(name));
    CHECK_OK(model.status());
    model_ = std::move(*model);
    const KvLayout layout = MakeKvLayout(model_->config, kv_dtype, kBlockSize);
    auto kv = KvCache::Create(layout, kMaxSequences * kBlocksPerSequence);
    CHECK_OK(kv.status());
    kv_ = std::move(*kv);
    auto transformer = Transformer::Create(*model_, {kMaxLen, kMaxRows}, ops, *kv_);
    CHECK_OK(transformer.status());
    transformer_ = std::move(*transformer);
    blocks_ = ShuffledBlocks(kMaxSequences * kBlocksPerSequence, 1);
  }

  const ModelConfig& config() const { return model_->config; }
  KvCache& kv() { return *kv_; }

  absl::Span<const BlockId> BlockTable(int sequence) const {
    return absl::MakeConstSpan(blocks_).subspan(sequence * kBlocksPerSequence, kBlocksPerSequence);
  }

  // Adds positions [begin, end) of `tokens` to the step, as sequence number `sequence`. All logits
  // are wanted.
  void Append(int sequence, absl::Span<const TokenId> tokens, int begin, int end,
              StepInput& input) const {
    AttentionRow row;
    row.row_begin = input.NumRows();
    row.num_rows = end - begin;
    row.position_begin = begin;
    row.block_table = BlockTable(sequence);
    input.sequences.push_back(row);
    for (int position = begin; position < end; ++position) {
      input.logit_rows.push_back(static_cast<int>(input.NumRows()));
      input.token_ids.push_back(tokens[position]);
      input.positions.push_back(position);
      input.slots.push_back(int64_t{row.block_table[position / kBlockSize]} * kBlockSize +
                            position % kBlockSize);
    }
  }

  // Logits of input.logit_rows: [num_logit_rows][vocab_size].
  std::vector<std::vector<float>> Step(const StepInput& input) {
    std::vector<std::vector<float>> logits;
    CHECK_OK(transformer_->Forward(
        input, [](int) {},
        [&](int index, absl::Span<const float> row) {
          CHECK(index == static_cast<int>(logits.size())) << "logits out of order";
          logits.emplace_back(row.begin(), row.end());
        }));
    return logits;
  }

  // Logits after every token of one sequence that is computed `chunk` positions at a time.
  std::vector<std::vector<float>> Run(absl::Span<const TokenId> tokens, int chunk) {
    std::vector<std::vector<float>> logits;
    const int size = static_cast<int>(tokens.size());
    for (int begin = 0; begin < size; begin += chunk) {
      StepInput input;
      Append(0, tokens, begin, std::min(begin + chunk, size), input);
      for (std::vector<float>& row : Step(input)) logits.push_back(std::move(row));
    }
    return logits;
  }

  Transformer& transformer() { return *transformer_; }

 private:
  std::unique_ptr<Model> model_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Transformer> transformer_;
  std::vector<BlockId> blocks_;
};

}  // namespace tandem
