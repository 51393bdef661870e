// A request as the client meant it, whichever API it came by: checked, defaults filled in, nothing
// tokenised yet. Filled by openai_request.h (HTTP) and inference_service.h (gRPC).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/core/ids.h"
#include "engine/core/sampling_params.h"
#include "server/gateway/json_fields.h"
#include "server/gateway/slo.h"

namespace tandem {

enum class ApiKind { kChat, kCompletions };

using TextOrTokens = std::variant<std::string, std::vector<TokenId>>;

struct ApiRequest {
  ApiKind kind = ApiKind::kChat;
  std::string model;  // empty: the served one

  Json messages;                             // chat: see ParseMessages
  Json template_variables = Json::object();  // chat: what a template may read beside the messages
  bool add_generation_prompt = true;         // chat
  std::vector<TextOrTokens> prompts;         // completions: at least one
  bool echo = false;                         // completions: the answer starts with the prompt
  std::optional<bool> add_special_tokens;    // absent: true for a prompt, false for a chat

  SamplingParams sampling;        // its max_tokens and stop_token_ids are set when it is prepared
  std::optional<int> max_tokens;  // 0 with echo: only the prompt is wanted
  bool has_seed = false;
  int n = 1;  // samples per prompt
  std::vector<std::string> stop_strings;
  bool include_stop_str_in_output = false;
  bool ignore_eos = false;
  bool skip_special_tokens = true;
  std::string cache_salt;  // prompts of different ones share nothing; empty is one too
  std::string tenant;      // who shares fairly with others; empty is one too
  SloWish slo;             // its time to first token also orders requests of one priority
  int priority = 0;        // lower is earlier

  bool stream = false;
  bool include_usage = false;           // a last chunk with usage
  bool continuous_usage_stats = false;  // usage in every chunk
  bool return_token_ids = false;
  bool wants_timing = false;  // the stages of the first tokens

  // The value is "messages" or "prompt": what errors about the prompt name.
  absl::string_view prompt_field() const { return kind == ApiKind::kChat ? "messages" : "prompt"; }
  bool wants_logprobs() const { return sampling.num_logprobs >= 0; }
  bool wants_prompt_logprobs() const { return sampling.num_prompt_logprobs >= 0; }
};

// Most top alternatives per token that can be asked for, and most samples (prompts times n) of one
// request; OpenAI's own limits.
inline constexpr int kMaxLogprobs = 20;
inline constexpr int kMaxSamples = 128;

// INVALID_ARGUMENT naming `field` for an empty string, or more of them than an answer should be
// searched for.
absl::Status CheckStopStrings(absl::string_view field, const std::vector<std::string>& strings);

}  // namespace tandem
