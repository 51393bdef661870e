#include "engine/tokenizer/sentencepiece_bpe_model.h"

#include <algorithm>
#include <optional>

#include "engine/tokenizer/merge_symbols.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {

SentencePieceBpeModel::SentencePieceBpeModel(const Vocabulary& vocabulary,
                                             const UnknownPolicy& unknown)
    : vocabulary_(vocabulary), unknown_(unknown) {
  for (const Token& token : vocabulary.tokens()) {
    max_token_bytes_ = std::max(max_token_bytes_, token.text.size());
  }
}

void SentencePieceBpeModel::Encode(absl::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (size_t position = 0; position < piece.size();) {
    const size_t size = ReadUtf8(piece.substr(position)).num_bytes;
    const auto id = vocabulary_.FindInModel(piece.substr(position, size));
    AppendSymbol(id.value_or(-1), size, &symbols);
    position += size;
  }
  MergeSymbols(&symbols,
               [this, piece](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
                 const size_t size = left.size + right.size;
                 if (size > max_token_bytes_) return std::nullopt;
                 const auto id = vocabulary_.FindInModel(piece.substr(left.begin, size));
                 if (!id.has_value()) return std::nullopt;
                 return Merge{.cost = -vocabulary_.at(*id).score, .id = *id};
               });
  UnknownHandler unknown(vocabulary_, unknown_);
  for (const Symbol& symbol : symbols) {
    if (symbol.size == 0) continue;
    if (symbol.id >= 0) {
      ids->push_back(symbol.id);
      unknown.AddKnown();
    } else {
      unknown.AddUnknown(
          piece.substr(symbol.begin, symbol.size),
          [ids](int32_t id, size_t, size_t) { ids->push_back(id); }, [](size_t) {});
    }
  }
}

}  // namespace tandem
