// Rearranges stored weights into the layouts of packed_weights.h.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/packed_weights.h"
#include "engine/tensor/tensor.h"

namespace tandem {

// Bytes of `w` packed. The layout is that of floats; other types have one.
int64_t PackedBytes(const MatrixView& w, FloatLayout layout);

// What packed scales are multiplied by, a power of two. 1, except for the K types, whose scales are
// products of a 16-bit float and a 6 or 8 bit number: it keeps them within 16-bit floats.
float PackedUnit(const MatrixView& w);

// Packs groups [begin, end) of 16 rows, with w.packed_unit, to where they belong in `out`,
// [PackedBytes(w, layout)].
void PackGroups(const MatrixView& w, FloatLayout layout, int64_t begin, int64_t end, uint8_t* out);

}  // namespace tandem
