#include "engine/tokenizer/unigram_model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// An unknown character costs this much more than the least likely token; SentencePiece's value.
constexpr double kUnknownPenalty = 10.0;

}  // namespace

UnigramModel::UnigramModel(const Vocabulary& vocabulary, const UnknownPolicy& unknown)
    : vocabulary_(vocabulary), unknown_(unknown) {
  std::vector<std::pair<std::string, int32_t>> keys;
  double min_score = 0;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const Token& token = vocabulary.at(id);
    if (!token.in_model || token.text.empty()) continue;
    min_score = keys.empty() ? token.score : std::min<double>(min_score, token.score);
    keys.emplace_back(token.text, id);
  }
  index_ = PrefixIndex(std::move(keys));
  unknown_score_ = min_score - kUnknownPenalty;
}

std::vector<UnigramModel::Step> UnigramModel::FindBestPath(absl::string_view piece) const {
  std::vector<Step> best(piece.size() + 1);
  best[0].begin = 0;
  const auto offer = [&best](size_t begin, size_t end, double score, int32_t id) {
    const double total = best[begin].score + score;
    if (best[end].begin >= 0 && total <= best[end].score) return;
    best[end] = {.score = total, .begin = static_cast<int64_t>(begin), .id = id};
  };
  for (size_t begin = 0; begin < piece.size();) {
    const size_t character_size = ReadUtf8(piece.substr(begin)).num_bytes;
    bool has_character = false;
    index_.ForEachPrefix(piece.substr(begin), [&](size_t size, int32_t id) {
      offer(begin, begin + size, vocabulary_.at(id).score, id);
      has_character = has_character || size == character_size;
    });
    if (!has_character) offer(begin, begin + character_size, unknown_score_, -1);
    begin += character_size;
  }
  return best;
}

void UnigramModel::Encode(absl::string_view piece, std::vector<int32_t>* ids) const {
  const std::vector<Step> best = FindBestPath(piece);
  std::vector<size_t> ends;
  for (size_t end = piece.size(); end > 0; end = static_cast<size_t>(best[end].begin)) {
    ends.push_back(end);
  }
  UnknownHandler unknown(vocabulary_, unknown_);
  size_t begin = 0;
  for (auto end = ends.rbegin(); end != ends.rend(); begin = *end++) {
    if (best[*end].id >= 0) {
      ids->push_back(best[*end].id);
      unknown.AddKnown();
    } else {
      unknown.AddUnknown(
          piece.substr(begin, *end - begin),
          [ids](int32_t id, size_t, size_t) { ids->push_back(id); }, [](size_t) {});
    }
  }
}

}  // namespace tandem
