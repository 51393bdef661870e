#include "engine/tokenizer/normalizer.h"

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> ApplyStep(const UnicodeForm& form, const std::string& text) {
  return NormalizeUnicode(text, form);
}

absl::StatusOr<std::string> ApplyStep(const LowercaseStep&, const std::string& text) {
  return LowercaseUnicode(text);
}

absl::StatusOr<std::string> ApplyStep(const StripAccentsStep&, const std::string& text) {
  std::string result;
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    if (!IsMark(character.code_point)) AppendUtf8(character.code_point, &result);
    rest.remove_prefix(character.num_bytes);
  }
  return result;
}

absl::StatusOr<std::string> ApplyStep(const StripStep& strip, const std::string& text) {
  absl::string_view stripped = text;
  if (strip.left) stripped = StripLeadingWhitespace(stripped);
  if (strip.right) stripped = StripTrailingWhitespace(stripped);
  return std::string(stripped);
}

absl::StatusOr<std::string> ApplyStep(const PrependStep& prepend, const std::string& text) {
  return text.empty() ? text : absl::StrCat(prepend.text, text);
}

absl::StatusOr<std::string> ApplyStep(const ReplaceStep& replace, const std::string& text) {
  ASSIGN_OR_RETURN(const std::vector<TextRange> matches, replace.pattern.FindAll(text));
  if (matches.empty()) return text;
  std::string result;
  size_t copied = 0;
  for (const TextRange& match : matches) {
    result.append(text, copied, match.begin - copied);
    result.append(replace.replacement);
    copied = match.end;
  }
  return result.append(text, copied);
}

absl::StatusOr<std::string> ApplyStep(const CharacterMap& map, const std::string& text) {
  return map.Apply(text);
}

}  // namespace

absl::StatusOr<std::string> Normalizer::Apply(absl::string_view text) const {
  std::string result(text);
  for (const NormalizerStep& step : steps_) {
    const auto apply = [&result](const auto& kind) { return ApplyStep(kind, result); };
    ASSIGN_OR_RETURN(std::string next, std::visit(apply, step));
    result = std::move(next);
  }
  return result;
}

}  // namespace tandem
