#include "engine/tokenizer/vocabulary.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem {

Vocabulary::Vocabulary(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

absl::StatusOr<std::unique_ptr<const Vocabulary>> Vocabulary::Create(std::vector<Token> tokens) {
  if (tokens.empty()) return absl::InvalidArgumentError("the vocabulary has no tokens");
  if (tokens.size() > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the vocabulary has too many tokens: ", tokens.size()));
  }
  std::unique_ptr<Vocabulary> vocabulary(new Vocabulary(std::move(tokens)));
  vocabulary->ids_.reserve(vocabulary->size());
  for (int32_t id = 0; id < vocabulary->size(); ++id) {
    const std::string& text = vocabulary->tokens_[id].text;
    if (text.empty()) continue;
    const auto [entry, inserted] = vocabulary->ids_.try_emplace(text, id);
    if (!inserted) {
      return absl::InvalidArgumentError(
          absl::StrCat("duplicate token \"", text, "\": ids ", entry->second, " and ", id));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary->byte_ids_[byte] = vocabulary->Find(absl::StrFormat("<0x%02X>", byte));
  }
  return vocabulary;
}

std::optional<int32_t> Vocabulary::Find(absl::string_view text) const {
  const auto entry = ids_.find(text);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

std::optional<int32_t> Vocabulary::FindInModel(absl::string_view text) const {
  const std::optional<int32_t> id = Find(text);
  return id.has_value() && tokens_[*id].in_model ? id : std::nullopt;
}

std::optional<uint8_t> ParseByteToken(absl::string_view text) {
  if (text.size() != 6 || !absl::StartsWith(text, "<0x") || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  for (const char digit : text.substr(3, 2)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(digit))) return std::nullopt;
    const int value = absl::ascii_isdigit(static_cast<unsigned char>(digit))
                          ? digit - '0'
                          : absl::ascii_tolower(static_cast<unsigned char>(digit)) - 'a' + 10;
    byte = static_cast<uint8_t>(byte << 4 | value);
  }
  return byte;
}

}  // namespace tandem
