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

// Without slashes at its end, so that messages name files as one would write them.
std::string FolderPath(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  return end == std::string::npos ? path : path.substr(0, end + 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadModel(const std::string& path) {
  return IsFolder(path) ? LoadHfModel(FolderPath(path)) : LoadGgufModel(path);
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  return IsFolder(path) ? LoadHfConfig(FolderPath(path)) : LoadGgufConfig(path);
}

absl::StatusOr<TokenizerSource> LoadTokenizerSource(const std::string& path) {
  return IsFolder(path) ? LoadHfTokenizerSource(FolderPath(path)) : LoadGgufTokenizerSource(path);
}

}  // namespace tandem
