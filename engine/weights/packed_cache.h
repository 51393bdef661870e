// Packed weights on disk, so that a model is packed once and not at every start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tandem {

// What packing makes of a model: the bytes that the packed matrices stand in, and the unit of each
// (MatrixView::packed_unit).
struct PackedWeights {
  absl::Span<uint8_t> bytes;
  std::vector<float> units;
};

// A folder of files KEY.packed, each complete: they appear by rename. Several processes may use it.
class PackedCache {
 public:
  // Files that are kept; the least recently used go first.
  static constexpr int kMaxFiles = 16;

  // Need not exist yet. Empty: keeps nothing.
  explicit PackedCache(std::string folder) : folder_(std::move(folder)) {}

  // Fills weights.bytes and weights.units, whose sizes must be those that were stored, and returns
  // true; or returns false where there is no sound file of that key.
  bool Load(uint64_t key, PackedWeights& weights) const;

  // The status names the file that could not be written; nothing is left behind then.
  absl::Status Store(uint64_t key, const PackedWeights& weights) const;

 private:
  std::string PathOf(uint64_t key) const;
  void RemoveOldFiles() const;

  const std::string folder_;
};

}  // namespace tandem
