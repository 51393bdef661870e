#include "engine/tokenizer/utf8.h"

#include <algorithm>
#include <cstdint>

namespace tandem {
namespace {

// What a lead byte announces: the length and the range that the second byte must lie in, which
// excludes overlong forms, surrogates and values above U+10FFFF (Unicode 15, table 3-7).
struct LeadByte {
  size_t num_bytes;  // 0: not a lead byte.
  uint8_t second_min;
  uint8_t second_max;
};

LeadByte ClassifyLead(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Character ReadUtf8(absl::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const LeadByte lead = ClassifyLead(first);
  if (lead.num_bytes == 0) return {.num_bytes = 1};
  if (lead.num_bytes == 1) return {.code_point = first, .num_bytes = 1, .valid = true};
  char32_t code_point = first & (0x7F >> lead.num_bytes);
  for (size_t i = 1; i < lead.num_bytes; ++i) {
    if (i == text.size()) return {.num_bytes = i, .truncated = true};
    const auto byte = static_cast<uint8_t>(text[i]);
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return {.num_bytes = i};
    code_point = code_point << 6 | (byte & 0x3F);
  }
  return {.code_point = code_point, .num_bytes = lead.num_bytes, .valid = true};
}

void AppendUtf8(char32_t code_point, std::string* text) {
  const auto tail = [code_point](int shift) {
    return static_cast<char>(0x80 | ((code_point >> shift) & 0x3F));
  };
  if (code_point < 0x80) {
    text->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text->append({static_cast<char>(0xC0 | code_point >> 6), tail(0)});
  } else if (code_point < 0x10000) {
    text->append({static_cast<char>(0xE0 | code_point >> 12), tail(6), tail(0)});
  } else {
    text->append({static_cast<char>(0xF0 | code_point >> 18), tail(12), tail(6), tail(0)});
  }
}

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    const absl::string_view good =
        character.valid ? text.substr(0, character.num_bytes) : kReplacementCharacter;
    result.append(good.data(), good.size());
    text.remove_prefix(character.num_bytes);
  }
  return result;
}

size_t FinishedUtf8Prefix(absl::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const absl::string_view end = text.substr(text.size() - length);
    if (ClassifyLead(static_cast<uint8_t>(end[0])).num_bytes < 2) continue;
    return ReadUtf8(end).truncated ? text.size() - length : text.size();
  }
  return text.size();
}

}  // namespace tandem
