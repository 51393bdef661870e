// The model as the gateway needs it: names, tokenizer, chat template; no weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/model_config.h"
#include "engine/tokenizer/chat_template.h"
#include "engine/tokenizer/tokenizer.h"

namespace tandem {

// Immutable, so thread-safe.
struct ModelInfo {
  ModelConfig config;
  std::vector<std::string> names;  // what clients may call it; at least one
  absl::Time created;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const ChatTemplate> chat_template;

  const std::string& name() const { return names.front(); }
  // NOT_FOUND as clients expect it, unless `name` is one of the names or empty.
  absl::Status CheckName(absl::string_view name) const;
  // INVALID_ARGUMENT names `param` and the id that the model has no embedding for.
  absl::Status CheckTokens(absl::string_view param, absl::Span<const TokenId> tokens) const;
};

// Reads a GGUF file or Hugging Face folder. `served_names` may be empty: the model's own name.
// `chat_template` replaces the model's own unless it is empty; a template that cannot be parsed is
// an error that names construct and line. Other errors name the file.
absl::StatusOr<ModelInfo> LoadModelInfo(const std::string& path,
                                        std::vector<std::string> served_names,
                                        const std::string& chat_template, absl::Time now);

}  // namespace tandem
