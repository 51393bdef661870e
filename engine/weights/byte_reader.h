// A cursor over bytes from an untrusted file: it cannot be moved beyond the end.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

static_assert(std::endian::native == std::endian::little, "model files are little-endian");

// Every function that moves returns false, and moves nowhere, when too few bytes are left.
class ByteReader {
 public:
  explicit ByteReader(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

  template <typename T>
  bool Read(T* value) {
    if (remaining() < sizeof(T)) return false;
    std::memcpy(value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  // `count` elements of `size` bytes; the product may overflow without harm.
  bool Skip(uint64_t count, size_t size) {
    if (count > remaining() / size) return false;
    position_ += count * size;
    return true;
  }

  // A GGUF string: 64-bit length, then bytes. The view points into the file.
  bool ReadString(absl::string_view* value) {
    uint64_t length;
    if (remaining() < sizeof(length)) return false;
    std::memcpy(&length, bytes_.data() + position_, sizeof(length));
    if (length > remaining() - sizeof(length)) return false;
    const uint8_t* begin = bytes_.data() + position_ + sizeof(length);
    *value = absl::string_view(reinterpret_cast<const char*>(begin), length);
    position_ += sizeof(length) + length;
    return true;
  }

 private:
  absl::Span<const uint8_t> bytes_;
  size_t position_ = 0;
};

}  // namespace tandem
