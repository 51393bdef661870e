// Rounds floats to GGUF's block types, to the same bits as ggml's reference: files are equal to
// those that llama.cpp's tools write.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "engine/core/dtype.h"

namespace tandem {

// Whether QuantizeBlocks writes this type: Q8_0, Q4_0.
bool CanQuantizeTo(DType dtype);

// `x` holds whole blocks, `out` is DTypeBytes(dtype, x.size()) long. False, with `out` undefined,
// where x has an element that is not finite or a block whose scale is beyond 16-bit floats (Q8_0:
// |x| > 8.3e6, Q4_0: |x| > 5.2e5), which no sound model has.
bool QuantizeBlocks(DType dtype, absl::Span<const float> x, uint8_t* out);

}  // namespace tandem
