// Models, configurations and tokenizer sources out of one GGUF file: the parts of model_weights.h
// for that format, with the same errors.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/weights/model_weights.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Model>> LoadGgufModel(const std::string& path);
absl::StatusOr<ModelConfig> LoadGgufConfig(const std::string& path);
absl::StatusOr<TokenizerSource> LoadGgufTokenizerSource(const std::string& path);

}  // namespace tandem
