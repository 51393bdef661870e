#include "server/gateway/model_info.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/weights/model_weights.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

absl::StatusOr<std::unique_ptr<const Tokenizer>> MakeTokenizer(const TokenizerSource& source) {
  if (source.tokenizer_json.empty()) return Tokenizer::FromGguf(source.gguf);
  return Tokenizer::FromHuggingFace(source.tokenizer_json, source.tokenizer_config_json,
                                    source.generation_config_json);
}

}  // namespace

absl::Status ModelInfo::CheckName(absl::string_view name) const {
  if (name.empty() || absl::c_linear_search(names, name)) return absl::OkStatus();
  return WithErrorCode(
      WithParam(absl::NotFoundError(absl::StrCat("The model `", name, "` does not exist.")),
                "model"),
      "model_not_found");
}

absl::Status ModelInfo::CheckTokens(absl::string_view param,
                                    absl::Span<const TokenId> tokens) const {
  for (const TokenId token : tokens) {
    if (token >= 0 && token < config.vocab_size) continue;
    return InvalidField(param,
                        absl::StrCat("`", param, "` has the token id ", token,
                                     ", outside the vocabulary of ", config.vocab_size, "."));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelInfo> LoadModelInfo(const std::string& path,
                                        std::vector<std::string> served_names,
                                        const std::string& chat_template, absl::Time now) {
  ModelInfo info;
  ASSIGN_OR_RETURN(info.config, LoadModelConfig(path));
  ASSIGN_OR_RETURN(const TokenizerSource source, LoadTokenizerSource(path));
  absl::StatusOr<std::unique_ptr<const Tokenizer>> tokenizer = MakeTokenizer(source);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  info.tokenizer = *std::move(tokenizer);

  std::string template_source = chat_template;
  if (template_source.empty()) template_source = source.chat_template;
  if (template_source.empty()) template_source = std::string(info.tokenizer->chat_template());
  if (!template_source.empty()) {
    absl::StatusOr<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(template_source);
    if (!parsed.ok()) return Annotate(parsed.status(), absl::StrCat(path, ": chat template"));
    info.chat_template = *std::move(parsed);
  }
  info.names = std::move(served_names);
  if (info.names.empty()) info.names.push_back(info.config.name);
  info.created = now;
  return info;
}

}  // namespace tandem
