// From a request of text to what workers take: token ids, checked against vocabulary and context.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/gateway/api_request.h"
#include "server/gateway/generation.h"
#include "server/gateway/model_info.h"
#include "server/gateway/slo.h"

namespace tandem {

struct PreparedPrompt {
  std::string text;  // with echo only
  std::shared_ptr<const std::vector<TokenId>> tokens;
};

struct PreparedRequest {
  std::string model;  // the name the client used, or the served one
  Slo slo;
  std::vector<PreparedPrompt> prompts;
  // Sample i is of prompt i / n: prompts.size() * n of them.
  std::vector<GenerationRequest> samples;
};

// What is known beside the request itself.
struct PrepareContext {
  int max_model_len = 0;  // tokens of prompt and answer together
  absl::Time arrival;
  uint64_t random_seed = 0;                 // where the client gave none
  const SloClasses* slo_classes = nullptr;  // null: there are none
};

// Bytes of a request from which preparing it takes long (2 ms and more): see EventLoop::Compute.
inline constexpr size_t kLongBytes = 16 * 1024;

// Renders, tokenises and checks. NOT_FOUND: another model, or SLO class. INVALID_ARGUMENT names the
// field; its code is context_length_exceeded where prompt and max_tokens are too long together.
// UNIMPLEMENTED: a chat, and the model has no template.
absl::StatusOr<PreparedRequest> PrepareRequest(const ApiRequest& request, const ModelInfo& model,
                                               const PrepareContext& context);

// Token ids of a chat, rendered by the model's template with the request's variables.
absl::StatusOr<std::vector<TokenId>> TokenizeChat(const ApiRequest& request, const ModelInfo& model,
                                                  absl::Time now);

}  // namespace tandem
