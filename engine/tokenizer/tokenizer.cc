#include "engine/tokenizer/tokenizer.h"

#include <cstddef>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/incremental_detokenizer.h"
#include "engine/tokenizer/tokenizer_parts.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// Positions within a piece are 32-bit, and the byte alphabet doubles a text at most.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts)
    : parts_(std::make_unique<const TokenizerParts>(std::move(parts))) {}

Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromGguf(const Metadata& metadata) {
  ASSIGN_OR_RETURN(TokenizerParts parts, ReadGgufTokenizer(metadata));
  return absl::WrapUnique(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromHuggingFace(
    absl::string_view tokenizer_json, absl::string_view tokenizer_config_json,
    absl::string_view generation_config_json) {
  ASSIGN_OR_RETURN(
      TokenizerParts parts,
      ReadHuggingFaceTokenizer(tokenizer_json, tokenizer_config_json, generation_config_json));
  return absl::WrapUnique(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view text,
                                                       const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a text of ", text.size(), " bytes is too long to tokenise"));
  }
  const std::string valid = ReplaceInvalidUtf8(text);
  std::vector<int32_t> ids;
  if (options.add_special_tokens) ids = parts_->prefix_ids;
  bool at_start = true;
  for (const auto& fragment : parts_->raw_added.Split(valid, options.parse_special)) {
    if (fragment.id.has_value()) {
      ids.push_back(*fragment.id);
    } else {
      RETURN_IF_ERROR(EncodeFragment(fragment.text, at_start, options.parse_special, &ids));
    }
    at_start = false;
  }
  if (options.add_special_tokens) {
    ids.insert(ids.end(), parts_->suffix_ids.begin(), parts_->suffix_ids.end());
  }
  return ids;
}

absl::Status Tokenizer::EncodeFragment(absl::string_view text, bool at_start, bool parse_special,
                                       std::vector<int32_t>* ids) const {
  ASSIGN_OR_RETURN(const std::string normalized, parts_->normalizer.Apply(text));
  for (const auto& fragment : parts_->normalized_added.Split(normalized, parse_special)) {
    if (fragment.id.has_value()) {
      ids->push_back(*fragment.id);
    } else {
      ASSIGN_OR_RETURN(const std::vector<std::string> pieces,
                       parts_->pre_tokenizer.Split(std::string(fragment.text), at_start));
      for (const std::string& piece : pieces) parts_->model->Encode(piece, ids);
    }
    at_start = false;
  }
  return absl::OkStatus();
}

std::string Tokenizer::Decode(absl::Span<const int32_t> tokens, bool skip_special) const {
  IncrementalDetokenizer detokenizer(*this, {.skip_special = skip_special});
  std::string text;
  for (const int32_t id : tokens) text += detokenizer.Add(id);
  return text + detokenizer.Flush();
}

std::string Tokenizer::TokenBytes(int32_t id) const { return TokenBytes(id, /*is_first=*/false); }

std::string Tokenizer::TokenBytes(int32_t id, bool is_first) const {
  if (!parts_->vocabulary->Contains(id)) return "";
  return parts_->decoder.Decode(parts_->vocabulary->at(id), is_first);
}

absl::string_view Tokenizer::TokenText(int32_t id) const {
  return parts_->vocabulary->Contains(id) ? parts_->vocabulary->at(id).text : absl::string_view();
}

std::optional<int32_t> Tokenizer::FindToken(absl::string_view text) const {
  return parts_->vocabulary->Find(text);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  if (!parts_->vocabulary->Contains(id)) return false;
  const TokenKind kind = parts_->vocabulary->at(id).kind;
  return kind == TokenKind::kControl || kind == TokenKind::kUnknown;
}

int32_t Tokenizer::vocab_size() const { return parts_->vocabulary->size(); }
std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos_id; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos_id; }
absl::string_view Tokenizer::bos_text() const { return parts_->bos_text; }
absl::string_view Tokenizer::eos_text() const { return parts_->eos_text; }
absl::Span<const int32_t> Tokenizer::EndOfTurnIds() const { return parts_->end_of_turn_ids; }
absl::string_view Tokenizer::chat_template() const { return parts_->chat_template; }
const TokenDecoder& Tokenizer::decoder() const { return parts_->decoder; }

}  // namespace tandem
