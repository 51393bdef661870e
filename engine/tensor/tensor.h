// Views of weight matrices and owned, aligned memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "engine/core/dtype.h"

namespace tandem {

// A row-major matrix of `rows` x `cols` elements somewhere in memory that somebody else owns (a
// mapped file, a packed copy). Quantised types are blocked along a row, so cols is a multiple of
// the block size.
struct MatrixView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;

  // The same weights as Ops::Pack() arranged them; null: only stored.
  const uint8_t* packed = nullptr;
  float packed_unit = 1.0f;  // factor of the packed scales, a power of two

  explicit operator bool() const { return data != nullptr; }
  int64_t RowBytes() const { return DTypeBytes(dtype, cols); }
  int64_t Bytes() const { return rows * RowBytes(); }
  const uint8_t* Row(int64_t row) const {
    return static_cast<const uint8_t*>(data) + row * RowBytes();
  }
};

// `size` floats or other trivial elements, 64-byte aligned (a cache line, a whole AVX-512
// register), uninitialised. Movable, not copyable.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size)
      : data_(static_cast<T*>(::operator new[](size * sizeof(T), kAlignment))), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }

  // Grows to at least `size` elements; the old contents are lost when it grows.
  void Reserve(size_t size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Deleter {
    void operator()(T* data) const { ::operator delete[](data, kAlignment); }
  };

  std::unique_ptr<T[], Deleter> data_;
  size_t size_ = 0;
};

}  // namespace tandem
