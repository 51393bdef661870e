// Byte-pair encoding with an ordered list of merges, as `tokenizer.json` and GGUF's "gpt2" have it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/tokenizer/merge_symbols.h"
#include "engine/tokenizer/token_model.h"

namespace tandem {

class BpeModel : public TokenModel {
 public:
  using MergePair = std::pair<std::string, std::string>;

  struct Options {
    bool ignore_merges = false;  // A piece that is a token is that token, whatever the merges say.
    UnknownPolicy unknown = {};
  };

  // `merges`: best first. `vocabulary` must outlive the model. INVALID_ARGUMENT names a merge whose
  // parts or result are no tokens.
  static absl::StatusOr<std::unique_ptr<const TokenModel>> Create(
      const Vocabulary& vocabulary, absl::Span<const MergePair> merges, const Options& options);

  void Encode(absl::string_view piece, std::vector<int32_t>* ids) const override;

 private:
  BpeModel(const Vocabulary& vocabulary, const Options& options)
      : vocabulary_(vocabulary), options_(options) {}

  absl::Status AddMerge(const MergePair& pair, int rank);
  std::vector<Symbol> SplitCharacters(absl::string_view piece) const;

  const Vocabulary& vocabulary_;
  const Options options_;
  absl::flat_hash_map<std::pair<int32_t, int32_t>, Merge> merges_;  // Cost: the rank.
};

}  // namespace tandem
