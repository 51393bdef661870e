#include "engine/tokenizer/prefix_index.h"

#include <algorithm>

namespace tandem {
namespace {

uint8_t ByteAt(const std::pair<std::string, int32_t>& key, size_t position) {
  return static_cast<uint8_t>(key.first[position]);
}

}  // namespace

PrefixIndex::PrefixIndex(std::vector<std::pair<std::string, int32_t>> keys)
    : keys_(std::move(keys)) {
  std::sort(keys_.begin(), keys_.end());
  for (const auto& key : keys_) ++first_byte_[ByteAt(key, 0) + 1];
  for (size_t byte = 1; byte < first_byte_.size(); ++byte) {
    first_byte_[byte] += first_byte_[byte - 1];
  }
}

std::pair<size_t, size_t> PrefixIndex::Narrow(size_t begin, size_t end, size_t position,
                                              char byte) const {
  const auto wanted = static_cast<uint8_t>(byte);
  const auto low = std::partition_point(
      keys_.begin() + begin, keys_.begin() + end,
      [position, wanted](const auto& key) { return ByteAt(key, position) < wanted; });
  const auto high = std::partition_point(
      low, keys_.begin() + end,
      [position, wanted](const auto& key) { return ByteAt(key, position) == wanted; });
  return {low - keys_.begin(), high - keys_.begin()};
}

}  // namespace tandem
