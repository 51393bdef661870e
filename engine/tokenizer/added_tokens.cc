#include "engine/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/tokenizer/unicode.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

bool BeginsWithWord(absl::string_view text) {
  return !text.empty() && IsWordCharacter(ReadUtf8(text).code_point);
}

bool EndsWithWord(absl::string_view text) {
  if (text.empty()) return false;
  size_t begin = text.size() - 1;
  while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
  return IsWordCharacter(ReadUtf8(text.substr(begin)).code_point);
}

PrefixIndex IndexTexts(const std::vector<AddedToken>& tokens) {
  std::vector<std::pair<std::string, int32_t>> keys;
  keys.reserve(tokens.size());
  for (const AddedToken& token : tokens) {
    keys.emplace_back(token.text, static_cast<int32_t>(keys.size()));
  }
  return PrefixIndex(std::move(keys));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), index_(IndexTexts(tokens_)) {}

const AddedToken* AddedTokens::FindLongest(absl::string_view text) const {
  const AddedToken* longest = nullptr;
  index_.ForEachPrefix(text, [this, &longest](size_t, int32_t i) { longest = &tokens_[i]; });
  return longest;
}

std::vector<AddedTokens::Fragment> AddedTokens::Split(absl::string_view text,
                                                      bool parse_special) const {
  std::vector<Fragment> fragments;
  size_t done = 0;  // Everything before is in `fragments`.
  for (size_t position = 0; position < text.size();) {
    const AddedToken* token = FindLongest(text.substr(position));
    if (token == nullptr) {
      ++position;
      continue;
    }
    size_t begin = position;
    size_t end = position + token->text.size();
    position = end;  // A match that does not count is still passed over, as Hugging Face does.
    if (token->special && !parse_special) continue;
    const absl::string_view before = text.substr(0, begin);
    const absl::string_view after = text.substr(end);
    if (token->single_word && (EndsWithWord(before) || BeginsWithWord(after))) continue;
    if (token->lstrip) begin = std::max(done, StripTrailingWhitespace(before).size());
    if (token->rstrip) end += after.size() - StripLeadingWhitespace(after).size();
    if (done < begin) fragments.push_back({text.substr(done, begin - done), std::nullopt});
    fragments.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) fragments.push_back({text.substr(done), std::nullopt});
  return fragments;
}

}  // namespace tandem
