#include "engine/tokenizer/character_map.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// Fields of a darts-clone unit.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t LeafValue(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t Label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }

uint32_t ReadLittleEndian32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

absl::StatusOr<CharacterMap> CharacterMap::Parse(absl::string_view blob) {
  constexpr size_t kHeaderBytes = 4;
  if (blob.size() < kHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the character map has only ", blob.size(), " bytes"));
  }
  const uint32_t trie_bytes = ReadLittleEndian32(blob.data());
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > blob.size() - kHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the character map's trie of ", trie_bytes,
                                                   " bytes does not fit into ", blob.size()));
  }
  CharacterMap map;
  map.units_.reserve(trie_bytes / 4);
  for (uint32_t i = 0; i < trie_bytes; i += 4) {
    map.units_.push_back(ReadLittleEndian32(blob.data() + kHeaderBytes + i));
  }
  map.replacements_ = std::string(blob.substr(kHeaderBytes + trie_bytes));
  map.replacements_.push_back('\0');
  return map;
}

CharacterMap::Match CharacterMap::FindLongest(absl::string_view text) const {
  Match longest;
  size_t node = Offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (node >= units_.size() || Label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= Offset(unit);
    if (!HasLeaf(unit) || node >= units_.size()) continue;
    const uint32_t value = LeafValue(units_[node]);
    if (value >= replacements_.size()) continue;
    longest = {.num_bytes = i + 1, .replacement = replacements_.data() + value};
  }
  return longest;
}

std::string CharacterMap::Apply(absl::string_view text) const {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    Match match = FindLongest(text);
    if (match.num_bytes == 0) {
      match.num_bytes = ReadUtf8(text).num_bytes;
      match.replacement = text.substr(0, match.num_bytes);
    }
    result.append(match.replacement.data(), match.replacement.size());
    text.remove_prefix(match.num_bytes);
  }
  return result;
}

}  // namespace tandem
