#include "engine/core/prefix_key.h"

namespace tandem {

uint64_t ExtendPrefixKey(uint64_t key, absl::Span<const TokenId> block) {
  // The steps of SplitMix64 (Steele et al., OOPSLA 2014), one token each.
  for (TokenId token : block) {
    key += 0x9E3779B97F4A7C15u + static_cast<uint64_t>(token);
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9u;
    key = (key ^ (key >> 27)) * 0x94D049BB133111EBu;
    key ^= key >> 31;
  }
  return key;
}

uint64_t HashName(absl::string_view name) {
  uint64_t hash = 0;
  for (unsigned char c : name) hash = ExtendPrefixKey(hash, {TokenId{c}});
  return hash;
}

std::vector<uint64_t> PrefixKeys(uint64_t salt, absl::Span<const TokenId> tokens, int block_size) {
  std::vector<uint64_t> keys;
  keys.reserve(tokens.size() / block_size);
  uint64_t key = salt;
  for (size_t end = block_size; end <= tokens.size(); end += block_size) {
    key = ExtendPrefixKey(key, tokens.subspan(end - block_size, block_size));
    keys.push_back(key);
  }
  return keys;
}

}  // namespace tandem
