#include "server/gateway/openai_request.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/chat_messages.h"
#include "server/gateway/error.h"
#include "server/gateway/unsupported_fields.h"

namespace tandem {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();

// A field's value goes into the request; `name` is for messages.
using FieldParser = absl::Status (*)(absl::string_view name, const Json& value, ApiRequest& out);
using FieldTable = absl::flat_hash_map<absl::string_view, FieldParser>;

template <float SamplingParams::*kMember>
absl::Status SamplingNumber(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const double number, AsNumber(name, value));
  out.sampling.*kMember = static_cast<float>(number);
  return absl::OkStatus();
}

template <bool ApiRequest::*kMember>
absl::Status Flag(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.*kMember, AsBool(name, value));
  return absl::OkStatus();
}

absl::Status Model(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.model, AsString(name, value));
  return absl::OkStatus();
}

absl::Status Messages(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.messages, ParseMessages(value));
  return absl::OkStatus();
}

// A string, a list of strings, a list of token ids, or a list of lists of token ids.
absl::Status Prompt(absl::string_view name, const Json& value, ApiRequest& out) {
  if (value.is_string()) {
    out.prompts.emplace_back(value.get<std::string>());
    return absl::OkStatus();
  }
  if (!value.is_array() || value.empty()) {
    return InvalidField(name,
                        "`prompt` must be a string, a list of strings, a list of token ids, or a "
                        "list of lists of token ids, and not empty.");
  }
  if (value.front().is_number()) {
    ASSIGN_OR_RETURN(std::vector<TokenId> ids, AsTokenIds(name, value));
    out.prompts.emplace_back(std::move(ids));
    return absl::OkStatus();
  }
  for (const Json& item : value) {
    if (item.is_string()) {
      out.prompts.emplace_back(item.get<std::string>());
    } else {
      ASSIGN_OR_RETURN(std::vector<TokenId> ids, AsTokenIds(name, item));
      out.prompts.emplace_back(std::move(ids));
    }
  }
  return absl::OkStatus();
}

absl::Status MaxTokens(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 0, kMaxInt));
  out.max_tokens = static_cast<int>(number);
  return absl::OkStatus();
}

// The older name of max_completion_tokens, which wins where both are given.
absl::Status OlderMaxTokens(absl::string_view name, const Json& value, ApiRequest& out) {
  const std::optional<int> newer = out.max_tokens;
  RETURN_IF_ERROR(MaxTokens(name, value, out));
  if (newer) out.max_tokens = newer;
  return absl::OkStatus();
}

absl::Status MinTokens(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 0, kMaxInt));
  out.sampling.min_tokens = static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status NumSamples(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 1, kMaxSamples));
  out.n = static_cast<int>(number);
  return absl::OkStatus();
}

// -1 is an older spelling of "all", which is 0 here.
absl::Status TopK(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, -1, kMaxInt));
  out.sampling.top_k = number < 0 ? 0 : static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status Seed(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, std::numeric_limits<int64_t>::min(),
                                                   std::numeric_limits<int64_t>::max()));
  out.sampling.seed = static_cast<uint64_t>(number);
  out.has_seed = true;
  return absl::OkStatus();
}

absl::Status Priority(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number,
                   AsInteger(name, value, std::numeric_limits<int>::min(), kMaxInt));
  out.priority = static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status Stop(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.stop_strings, AsStrings(name, value));
  return CheckStopStrings(name, out.stop_strings);
}

absl::Status StopTokenIds(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.sampling.stop_token_ids, AsTokenIds(name, value));
  return absl::OkStatus();
}

absl::Status LogitBias(absl::string_view name, const Json& value, ApiRequest& out) {
  if (!value.is_object()) {
    return InvalidField(name, absl::StrCat("`logit_bias` must be an object from token ids to "
                                           "numbers, got ",
                                           JsonTypeName(value), "."));
  }
  for (const auto& [key, bias] : value.items()) {
    TokenId token = 0;
    if (!absl::SimpleAtoi(key, &token)) {
      return InvalidField(name, absl::StrCat("`logit_bias` has the key ", DumpJson(key),
                                             ", which is not a token id."));
    }
    ASSIGN_OR_RETURN(const double number, AsNumber(name, bias));
    out.sampling.logit_bias.emplace_back(token, static_cast<float>(number));
  }
  return absl::OkStatus();
}

absl::Status PromptLogprobs(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 0, kMaxLogprobs));
  out.sampling.num_prompt_logprobs = static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status CompletionLogprobs(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 0, kMaxLogprobs));
  out.sampling.num_logprobs = static_cast<int>(number);
  return absl::OkStatus();
}

// Chat has a switch and a number; the number stands in num_logprobs until both are known.
absl::Status ChatLogprobs(absl::string_view name, const Json& value, ApiRequest& out) {
  return AsBool(name, value).status();
}

absl::Status TopLogprobs(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(const int64_t number, AsInteger(name, value, 0, kMaxLogprobs));
  out.sampling.num_logprobs = static_cast<int>(number);
  return absl::OkStatus();
}

absl::Status StreamOptions(absl::string_view name, const Json& value, ApiRequest& out) {
  if (!value.is_object()) {
    return InvalidField(
        name, absl::StrCat("`stream_options` must be an object, got ", JsonTypeName(value), "."));
  }
  for (const auto& [key, option] : value.items()) {
    if (option.is_null()) continue;
    const std::string option_name = absl::StrCat("stream_options.", key);
    if (key == "include_usage") {
      RETURN_IF_ERROR(Flag<&ApiRequest::include_usage>(option_name, option, out));
    } else if (key == "continuous_usage_stats") {
      RETURN_IF_ERROR(Flag<&ApiRequest::continuous_usage_stats>(option_name, option, out));
    }
  }
  return absl::OkStatus();
}

absl::Status TemplateKwargs(absl::string_view name, const Json& value, ApiRequest& out) {
  if (!value.is_object()) {
    return InvalidField(name, absl::StrCat("`chat_template_kwargs` must be an object, got ",
                                           JsonTypeName(value), "."));
  }
  out.template_variables.update(value);
  return absl::OkStatus();
}

// What a template may read under the field's own name.
absl::Status TemplateVariable(absl::string_view name, const Json& value, ApiRequest& out) {
  out.template_variables[std::string(name)] = value;
  return absl::OkStatus();
}

absl::Status AddSpecialTokens(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.add_special_tokens, AsBool(name, value));
  return absl::OkStatus();
}

absl::Status CacheSalt(absl::string_view name, const Json& value, ApiRequest& out) {
  ASSIGN_OR_RETURN(out.cache_salt, AsString(name, value));
  if (out.cache_salt.empty()) return InvalidField(name, "`cache_salt` must be a non-empty string.");
  return absl::OkStatus();
}

// Accepted, and of no influence on the answer.
absl::Status Ignored(absl::string_view name, const Json& value, ApiRequest& out) {
  return absl::OkStatus();
}

absl::Status IgnoredString(absl::string_view name, const Json& value, ApiRequest& out) {
  return AsString(name, value).status();
}

FieldTable MakeCommonFields() {
  return {
      {"model", Model},
      {"temperature", SamplingNumber<&SamplingParams::temperature>},
      {"top_p", SamplingNumber<&SamplingParams::top_p>},
      {"min_p", SamplingNumber<&SamplingParams::min_p>},
      {"top_k", TopK},
      {"repetition_penalty", SamplingNumber<&SamplingParams::repetition_penalty>},
      {"presence_penalty", SamplingNumber<&SamplingParams::presence_penalty>},
      {"frequency_penalty", SamplingNumber<&SamplingParams::frequency_penalty>},
      {"logit_bias", LogitBias},
      {"seed", Seed},
      {"min_tokens", MinTokens},
      {"n", NumSamples},
      {"stop", Stop},
      {"stop_token_ids", StopTokenIds},
      {"include_stop_str_in_output", Flag<&ApiRequest::include_stop_str_in_output>},
      {"ignore_eos", Flag<&ApiRequest::ignore_eos>},
      {"skip_special_tokens", Flag<&ApiRequest::skip_special_tokens>},
      {"add_special_tokens", AddSpecialTokens},
      {"prompt_logprobs", PromptLogprobs},
      {"priority", Priority},
      {"stream", Flag<&ApiRequest::stream>},
      {"stream_options", StreamOptions},
      {"return_token_ids", Flag<&ApiRequest::return_token_ids>},
      {"cache_salt", CacheSalt},
      {"user", IgnoredString},
      {"kv_transfer_params", Ignored},
      {"metadata", Ignored},
      {"store", Ignored},
      {"service_tier", Ignored},
      {"safety_identifier", Ignored},
      {"prompt_cache_key", Ignored},
      {"prompt_cache_retention", Ignored},
      {"spaces_between_special_tokens", Ignored},
      {"request_id", Ignored},
  };
}

FieldTable MakeFields(ApiKind kind) {
  FieldTable fields = MakeCommonFields();
  if (kind == ApiKind::kChat) {
    fields.insert({
        {"messages", Messages},
        {"max_completion_tokens", MaxTokens},
        {"max_tokens", OlderMaxTokens},
        {"logprobs", ChatLogprobs},
        {"top_logprobs", TopLogprobs},
        {"add_generation_prompt", Flag<&ApiRequest::add_generation_prompt>},
        {"chat_template_kwargs", TemplateKwargs},
        {"documents", TemplateVariable},
        {"reasoning_effort", TemplateVariable},
        {"parallel_tool_calls", Ignored},
        {"prediction", Ignored},  // only ever a hint that makes an answer faster
    });
  } else {
    fields.insert({
        {"prompt", Prompt},
        {"max_tokens", MaxTokens},
        {"logprobs", CompletionLogprobs},
        {"echo", Flag<&ApiRequest::echo>},
    });
  }
  return fields;
}

const FieldTable& Fields(ApiKind kind) {
  static const FieldTable* const kChat = new FieldTable(MakeFields(ApiKind::kChat));
  static const FieldTable* const kCompletions = new FieldTable(MakeFields(ApiKind::kCompletions));
  return kind == ApiKind::kChat ? *kChat : *kCompletions;
}

bool IsPresent(const Json& body, const char* name) {
  const auto field = body.find(name);
  return field != body.end() && !field->is_null();
}

// Rules between fields; `body` tells what was given from what is a default.
absl::Status CheckTogether(const Json& body, ApiRequest& out) {
  if (out.kind == ApiKind::kChat && out.messages.is_null()) {
    return InvalidField("messages", "`messages` is missing.");
  }
  if (out.kind == ApiKind::kCompletions && out.prompts.empty()) {
    return InvalidField("prompt", "`prompt` is missing.");
  }
  if (IsPresent(body, "stream_options") && !out.stream) {
    return InvalidField("stream_options", "Stream options can only be defined when `stream=True`.");
  }
  if (out.kind == ApiKind::kChat) {
    const bool logprobs = IsPresent(body, "logprobs") && body["logprobs"].get<bool>();
    if (!logprobs && out.sampling.num_logprobs > 0) {
      return InvalidField("top_logprobs",
                          "when using `top_logprobs`, `logprobs` must be set to true.");
    }
    if (!logprobs) out.sampling.num_logprobs = -1;
    if (logprobs && out.sampling.num_logprobs < 0) out.sampling.num_logprobs = 0;
  }
  if (out.wants_prompt_logprobs() && out.stream) {
    return InvalidField("prompt_logprobs",
                        "`prompt_logprobs` are not available when `stream=True`.");
  }
  if (out.max_tokens == 0 && !out.echo) {
    const char* field =
        IsPresent(body, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
    return InvalidField(field, absl::StrCat("`", field, "` must be at least 1, got 0."));
  }
  const int64_t num_samples = int64_t{out.n} * std::max<size_t>(out.prompts.size(), 1);
  if (num_samples > kMaxSamples) {
    return InvalidField(out.n > 1 ? "n" : "prompt",
                        absl::StrCat("One request may have at most ", kMaxSamples,
                                     " samples (prompts times `n`), got ", num_samples, "."));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ApiRequest> ParseOpenAiRequest(ApiKind kind, absl::string_view body) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(body));
  ApiRequest request;
  request.kind = kind;
  const FieldTable& fields = Fields(kind);
  for (const auto& [name, value] : json.items()) {
    if (value.is_null()) continue;
    const auto field = fields.find(name);
    if (field != fields.end()) {
      RETURN_IF_ERROR(field->second(name, value, request));
    } else {
      RETURN_IF_ERROR(CheckUnsupportedField(name, value, json));
    }
  }
  RETURN_IF_ERROR(CheckTogether(json, request));
  return request;
}

}  // namespace tandem
