#include "engine/weights/hf_model.h"

#include <filesystem>
#include <utility>

#include "engine/core/status_macros.h"
#include "engine/weights/architectures.h"
#include "engine/weights/bind_weights.h"
#include "engine/weights/content_hash.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/json_object.h"
#include "engine/weights/safetensors_file.h"

namespace tandem {
namespace {

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// One file where there is one, else the shards of the index.
absl::StatusOr<SafetensorsModel> OpenTensors(const std::string& folder) {
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (Exists(single)) return OpenSafetensors(single);
  if (Exists(index)) return OpenShardedSafetensors(index);
  return absl::NotFoundError(absl::StrCat(
      folder, ": has neither model.safetensors nor model.safetensors.index.json",
      Exists(folder + "/pytorch_model.bin") ? "; pytorch_model.bin is not supported" : ""));
}

HfPrefix FindPrefix(const TensorDirectory& tensors, const TensorNames& names) {
  for (const HfPrefix& prefix : HfPrefixes()) {
    if (tensors.count(absl::StrCat(prefix.decoder, names.embedding)) > 0) return prefix;
  }
  return HfPrefixes()[0];  // the missing embedding is then reported under its usual name
}

// The text of a file that a folder need not have.
absl::StatusOr<std::string> ReadOptional(const std::string& path) {
  if (!Exists(path)) return std::string();
  return ReadTextFile(path);
}

// A template is a file of its own, or (older processors) a string inside one.
absl::StatusOr<std::string> ReadChatTemplate(const std::string& folder) {
  ASSIGN_OR_RETURN(std::string text, ReadOptional(folder + "/chat_template.jinja"));
  if (!text.empty() || !Exists(folder + "/chat_template.json")) return text;
  ASSIGN_OR_RETURN(const JsonObject object, ReadJsonObject(folder + "/chat_template.json"));
  return object.StringOr("chat_template", "");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadHfModel(const std::string& folder) {
  ASSIGN_OR_RETURN(HfConfig read, ReadHfConfig(folder));
  ASSIGN_OR_RETURN(SafetensorsModel file, OpenTensors(folder));
  const TensorNames& names = *read.architecture->hf_names;
  auto model = std::make_unique<Model>();
  model->config = std::move(read.config);
  model->files = file.maps;
  const WeightSource source = {.file = folder,
                               .tensors = &file.tensors,
                               .names = &names,
                               .prefix = FindPrefix(file.tensors, names),
                               .norm_offset = read.architecture->hf_norm_offset};
  RETURN_IF_ERROR(BindWeights(source, model.get()));
  model->content_hash = ContentHash(model->config, file.tensors);
  return model;
}

absl::StatusOr<ModelConfig> LoadHfConfig(const std::string& folder) {
  ASSIGN_OR_RETURN(HfConfig read, ReadHfConfig(folder));
  return std::move(read.config);
}

absl::StatusOr<TokenizerSource> LoadHfTokenizerSource(const std::string& folder) {
  TokenizerSource source;
  ASSIGN_OR_RETURN(source.tokenizer_json, ReadOptional(folder + "/tokenizer.json"));
  ASSIGN_OR_RETURN(source.tokenizer_config_json, ReadOptional(folder + "/tokenizer_config.json"));
  ASSIGN_OR_RETURN(source.chat_template, ReadChatTemplate(folder));
  ASSIGN_OR_RETURN(source.generation_config_json, ReadOptional(folder + "/generation_config.json"));
  if (source.generation_config_json.empty()) {
    ASSIGN_OR_RETURN(source.generation_config_json, ReadOptional(folder + "/config.json"));
  }
  return source;
}

}  // namespace tandem
