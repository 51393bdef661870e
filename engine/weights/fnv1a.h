// Fowler-Noll-Vo hash, 64 bits, http://www.isthe.com/chongo/tech/comp/fnv/: stable over runs,
// machines and builds. Not meant against forgery.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

// Variable-length parts are preceded by their length, so that neighbours cannot trade bytes.
class Fnv1a {
 public:
  void AddBytes(absl::Span<const uint8_t> bytes) {
    for (uint8_t byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001b3u;
  }
  // An integer, enumeration or floating-point number.
  template <typename T>
  void Add(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      Add(std::bit_cast<uint64_t>(static_cast<double>(value)));
    } else {
      for (int shift = 0; shift < 64; shift += 8) {
        hash_ = (hash_ ^ (static_cast<uint64_t>(value) >> shift & 0xff)) * 0x100000001b3u;
      }
    }
  }
  void AddString(absl::string_view text) {
    Add(text.size());
    AddBytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  template <typename... T>
  void AddAll(T... values) {
    (Add(values), ...);
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace tandem
