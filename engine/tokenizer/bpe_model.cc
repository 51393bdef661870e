#include "engine/tokenizer/bpe_model.h"

#include <optional>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<const TokenModel>> BpeModel::Create(
    const Vocabulary& vocabulary, absl::Span<const MergePair> merges, const Options& options) {
  auto model = absl::WrapUnique(new BpeModel(vocabulary, options));
  model->merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    RETURN_IF_ERROR(model->AddMerge(merges[rank], static_cast<int>(rank)));
  }
  return model;
}

absl::Status BpeModel::AddMerge(const MergePair& pair, int rank) {
  const std::optional<int32_t> left = vocabulary_.Find(pair.first);
  const std::optional<int32_t> right = vocabulary_.Find(pair.second);
  const std::optional<int32_t> merged = vocabulary_.Find(absl::StrCat(pair.first, pair.second));
  if (!left.has_value() || !right.has_value() || !merged.has_value()) {
    const std::string unknown = !left.has_value()    ? pair.first
                                : !right.has_value() ? pair.second
                                                     : absl::StrCat(pair.first, pair.second);
    return absl::InvalidArgumentError(absl::StrCat("merge ", rank, " (\"", pair.first, "\" + \"",
                                                   pair.second, "\") names \"", unknown,
                                                   "\", which is not a token"));
  }
  merges_.try_emplace({*left, *right}, Merge{.cost = static_cast<double>(rank), .id = *merged});
  return absl::OkStatus();
}

std::vector<Symbol> BpeModel::SplitCharacters(absl::string_view piece) const {
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  UnknownHandler unknown(vocabulary_, options_.unknown);
  while (!piece.empty()) {
    const absl::string_view character = piece.substr(0, ReadUtf8(piece).num_bytes);
    if (const std::optional<int32_t> id = vocabulary_.FindInModel(character)) {
      AppendSymbol(*id, character.size(), &symbols);
      unknown.AddKnown();
    } else {
      unknown.AddUnknown(
          character,
          [&symbols](int32_t id, size_t, size_t size) { AppendSymbol(id, size, &symbols); },
          [&symbols](size_t size) { symbols.back().size += static_cast<uint32_t>(size); });
    }
    piece.remove_prefix(character.size());
  }
  return symbols;
}

void BpeModel::Encode(absl::string_view piece, std::vector<int32_t>* ids) const {
  if (options_.ignore_merges) {
    if (const std::optional<int32_t> id = vocabulary_.FindInModel(piece)) {
      ids->push_back(*id);
      return;
    }
  }
  std::vector<Symbol> symbols = SplitCharacters(piece);
  MergeSymbols(&symbols, [this](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const auto merge = merges_.find({left.id, right.id});
    if (merge == merges_.end()) return std::nullopt;
    return merge->second;
  });
  for (const Symbol& symbol : symbols) {
    if (symbol.size > 0) ids->push_back(symbol.id);
  }
}

}  // namespace tandem
