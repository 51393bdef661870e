// Rearranges stored weights, quantised or BF16, into the layouts of packed_weights.h.
#pragma once

#include <cstdint>

#include "engine/tensor/tensor.h"

namespace tandem {

// Bytes of `w` packed; 0 where weights of its type are read as they are stored.
int64_t PackedBytes(const MatrixView& w);

// What packed scales are multiplied by, a power of two. 1, except for the K types, whose scales are
// products of a 16-bit float and a 6 or 8 bit number: it keeps them within 16-bit floats.
float PackedUnit(const MatrixView& w);

// Packs groups [begin, end) of 16 rows to where they belong in `out`, [PackedBytes(w)].
void PackGroups(const MatrixView& w, float unit, int64_t begin, int64_t end, uint8_t* out);

}  // namespace tandem
