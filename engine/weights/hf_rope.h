// RopeConfig from a Hugging Face config.json.
#pragma once

#include "absl/status/statusor.h"
#include "engine/core/model_config.h"
#include "engine/weights/json_object.h"

namespace tandem {

// `config` is the decoder's object. Understands
//   rope_parameters: {rope_theta, rope_type, ...}                       transformers 5
//   rope_parameters: {full_attention: {...}, sliding_attention: {...}}  transformers 5, Gemma 3
//   rope_theta, rope_local_base_freq, rope_scaling: {type|rope_type, ...}  before
// UNIMPLEMENTED names a scaling that is not supported; INVALID_ARGUMENT a missing or wrong value.
absl::StatusOr<RopeConfig> ReadHfRope(const JsonObject& config, int head_dim, int max_position);

}  // namespace tandem
