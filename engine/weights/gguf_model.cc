#include "engine/weights/gguf_model.h"

#include "engine/core/status_macros.h"
#include "engine/weights/architectures.h"
#include "engine/weights/bind_weights.h"
#include "engine/weights/content_hash.h"
#include "engine/weights/gguf_config.h"
#include "engine/weights/gguf_file.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Model>> LoadGgufModel(const std::string& path) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  auto model = std::make_unique<Model>();
  ASSIGN_OR_RETURN(model->config, ReadGgufConfig(file));
  model->files.push_back(file.map());
  const WeightSource source = {
      .file = path, .tensors = &file.tensors(), .names = &GgufTensorNames()};
  RETURN_IF_ERROR(BindWeights(source, model.get()));
  model->content_hash = ContentHash(model->config, file.tensors());
  return model;
}

absl::StatusOr<ModelConfig> LoadGgufConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  return ReadGgufConfig(file);
}

absl::StatusOr<TokenizerSource> LoadGgufTokenizerSource(const std::string& path) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  TokenizerSource source;
  ASSIGN_OR_RETURN(source.gguf, file.DecodeAllMetadata());
  return source;
}

}  // namespace tandem
