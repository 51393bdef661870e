#include "engine/tokenizer/token_decoder.h"

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "engine/tokenizer/byte_level.h"

namespace tandem {
namespace {

bool IsAdded(const Token& token) {
  return token.kind == TokenKind::kControl || token.kind == TokenKind::kUserDefined ||
         token.kind == TokenKind::kUnknown;
}

std::string Apply(const ByteLevelDecodeStep&, const Token& token, bool, const std::string& text) {
  return IsAdded(token) ? text : ByteLevelToBytes(text);
}

std::string Apply(const ByteFallbackDecodeStep&, const Token&, bool, const std::string& text) {
  const std::optional<uint8_t> byte = ParseByteToken(text);
  return byte.has_value() ? std::string(1, static_cast<char>(*byte)) : text;
}

std::string Apply(const ReplaceDecodeStep& step, const Token&, bool, const std::string& text) {
  return absl::StrReplaceAll(text, {{step.text, step.replacement}});
}

std::string Apply(const StripDecodeStep& step, const Token&, bool, const std::string& text) {
  absl::string_view rest = text;
  for (int i = 0; i < step.start && absl::ConsumePrefix(&rest, step.text);) ++i;
  for (int i = 0; i < step.stop && absl::ConsumeSuffix(&rest, step.text);) ++i;
  return std::string(rest);
}

std::string Apply(const MetaspaceDecodeStep& step, const Token&, bool is_first,
                  const std::string& text) {
  const absl::string_view space = is_first && step.drop_first ? "" : " ";
  return absl::StrReplaceAll(text, {{step.replacement, space}});
}

}  // namespace

std::string TokenDecoder::Decode(const Token& token, bool is_first) const {
  std::string text = token.found_as.empty() ? token.text : token.found_as;
  for (const DecodeStep& step : steps_) {
    text = std::visit(
        [&token, is_first, &text](const auto& kind) { return Apply(kind, token, is_first, text); },
        step);
  }
  return text;
}

}  // namespace tandem
