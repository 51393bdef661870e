// ModelConfig from the config.json of a Hugging Face folder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/core/model_config.h"
#include "engine/weights/architectures.h"

namespace tandem {

struct HfConfig {
  ModelConfig config;
  const Architecture* architecture = nullptr;
};

// Reads FOLDER/config.json, in the forms of old transformers (rope_theta, rope_scaling) and new
// (rope_parameters), of a text model or of the text part of a multimodal one. INVALID_ARGUMENT and
// UNIMPLEMENTED name file, key and value.
absl::StatusOr<HfConfig> ReadHfConfig(const std::string& folder);

}  // namespace tandem
