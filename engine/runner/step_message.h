// A StepInput as bytes, for the other ranks of an instance.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/model/step_input.h"

namespace tandem {

// Bytes of the longest message: a step of `max_rows` rows, each a sequence of `max_blocks` blocks.
int64_t MaxStepMessageBytes(int64_t max_rows, int64_t max_blocks);

// Replaces what is in `message`, whose memory is reused.
void EncodeStep(const StepInput& input, std::vector<uint8_t>& message);

// `message`, 8-byte aligned, comes from EncodeStep in a process of the same program. Block tables
// point into it. Replaces what is in `input`.
void DecodeStep(absl::Span<const uint8_t> message, StepInput& input);

}  // namespace tandem
