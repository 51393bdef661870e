// Models, configurations and tokenizer sources out of a Hugging Face folder: the parts of
// model_weights.h for that format, with the same errors.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/weights/model_weights.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Model>> LoadHfModel(const std::string& folder);
absl::StatusOr<ModelConfig> LoadHfConfig(const std::string& folder);
absl::StatusOr<TokenizerSource> LoadHfTokenizerSource(const std::string& folder);

}  // namespace tandem
