// Rotary position embeddings: the frequencies at which pairs of a head's elements turn, with the
// long-context scalings that checkpoints ask for, and the tables the kernels read.
//
// Angles are computed as Hugging Face does (frequency and angle rounded to float32), because that
// is what models were trained with: at position 8,000 the rounding moves an angle by up to 5e-4.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/core/model_config.h"
#include "engine/kernels/ops.h"

namespace tandem {

// How fast each pair turns, and by what the cosines and sines are multiplied.
struct RopeFrequencies {
  std::vector<float> radians_per_position;  // [rotary_dim / 2]
  float attention_factor = 1.0f;            // other than 1 for YaRN only
};

// Frequencies of `config.base` with its scaling and frequency factors.
// INVALID_ARGUMENT names the field of `config` that does not fit `head_dim` or is out of range.
absl::StatusOr<RopeFrequencies> MakeRopeFrequencies(const RopeConfig& config, int head_dim);

// Cosines and sines of positions [0, num_positions). Each layer uses one of the two tables.
struct RopeTables {
  RopeTable full;
  RopeTable local;  // of sliding-window layers; empty unless `config.local_base` is set

  const RopeTable& ForLayer(bool slides) const { return slides && local.rotary_dim ? local : full; }
};

// Errors as MakeRopeFrequencies. The local table is never scaled (Gemma 3).
absl::StatusOr<RopeTables> MakeRopeTables(const RopeConfig& config, int head_dim,
                                          int num_positions);

}  // namespace tandem
