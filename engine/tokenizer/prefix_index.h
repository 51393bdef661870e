// Finds the keys of a set that a text begins with: a sorted array that is narrowed byte by byte,
// which costs 4 bytes a key where a trie of nodes would cost tens of bytes per character.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem {

// Thread-safe after construction.
class PrefixIndex {
 public:
  PrefixIndex() : PrefixIndex(std::vector<std::pair<std::string, int32_t>>{}) {}

  // `keys`: text and value; texts are distinct and not empty.
  explicit PrefixIndex(std::vector<std::pair<std::string, int32_t>> keys);

  bool empty() const { return keys_.empty(); }

  // Calls visit(length, value) for every key that `text` begins with, shortest first.
  template <typename Visit>
  void ForEachPrefix(absl::string_view text, Visit visit) const {
    if (text.empty()) return;
    const auto first = static_cast<uint8_t>(text[0]);
    size_t begin = first_byte_[first];
    size_t end = first_byte_[first + 1];
    for (size_t length = 1; begin < end; ++length) {
      if (keys_[begin].first.size() == length) visit(length, keys_[begin++].second);
      if (length == text.size()) return;
      std::tie(begin, end) = Narrow(begin, end, length, text[length]);
    }
  }

 private:
  // The keys within [begin, end), all longer than `position`, that have `byte` there.
  std::pair<size_t, size_t> Narrow(size_t begin, size_t end, size_t position, char byte) const;

  std::vector<std::pair<std::string, int32_t>> keys_;  // Sorted by text.
  std::array<size_t, 257> first_byte_{};               // Where the keys of each first byte begin.
};

}  // namespace tandem
