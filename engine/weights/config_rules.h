// Rules of a ModelConfig that hold whichever kind of file it was read from.
#pragma once

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/core/dtype.h"
#include "engine/core/model_config.h"

namespace tandem {

// Layer i slides unless (i + 1) is a multiple of `pattern`. pattern 0: every layer slides.
std::vector<bool> SlidingLayers(int pattern, int num_layers);

// sqrt(hidden_size) rounded to the type the model was trained in: Gemma multiplies in that type
// (34 instead of 33.94 at width 1152 in bfloat16), and its weights are used to it.
float EmbeddingScale(int hidden_size, DType trained_in);

// Clears a window that no layer has, and the layer list where all layers slide.
void SimplifyWindow(ModelConfig* config);

// INVALID_ARGUMENT names `file`, the field and its value: sizes that are not positive or beyond all
// reason, heads that do not divide. What passes can size tables, and products of three sizes fit
// int64_t.
absl::Status CheckSizes(absl::string_view file, const ModelConfig& config);

// CheckSizes, and the same for everything else: numbers that are not finite or out of range.
absl::Status CheckConfig(absl::string_view file, const ModelConfig& config);

}  // namespace tandem
