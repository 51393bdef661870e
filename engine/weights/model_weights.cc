#include "engine/weights/model_weights.h"

#include <filesystem>

#include "engine/weights/gguf_model.h"
#include "engine/weights/hf_model.h"

namespace tandem {
namespace {

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& path) {
  return IsFolder(path) ? LoadHfModel(path) : LoadGgufModel(path);
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  return IsFolder(path) ? LoadHfConfig(path) : LoadGgufConfig(path);
}

absl::StatusOr<TokenizerSource> LoadTokenizerSource(const std::string& path) {
  return IsFolder(path) ? LoadHfTokenizerSource(path) : LoadGgufTokenizerSource(path);
}

}  // namespace tandem
