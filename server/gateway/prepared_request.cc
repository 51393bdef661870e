#include "server/gateway/prepared_request.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/prefix_key.h"
#include "engine/core/status_macros.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

// OpenAI's default for completions; a chat may fill the context.
constexpr int kDefaultCompletionTokens = 16;

// What came as text can turn out empty, what came as ids can be beyond the vocabulary.
absl::Status CheckPrompt(const ModelInfo& model, absl::string_view param,
                         const std::vector<TokenId>& tokens) {
  if (tokens.empty()) return InvalidField(param, "The prompt must have at least one token.");
  return model.CheckTokens(param, tokens);
}

absl::StatusOr<PreparedPrompt> PreparePrompt(const TextOrTokens& prompt, const ApiRequest& request,
                                             const ModelInfo& model) {
  PreparedPrompt prepared;
  std::vector<TokenId> tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    ASSIGN_OR_RETURN(tokens,
                     model.tokenizer->Encode(
                         *text, {.add_special_tokens = request.add_special_tokens.value_or(true)}));
    if (request.echo) prepared.text = *text;
  } else {
    tokens = std::get<std::vector<TokenId>>(prompt);
    if (request.echo) {
      prepared.text = model.tokenizer->Decode(tokens, request.skip_special_tokens);
    }
  }
  RETURN_IF_ERROR(CheckPrompt(model, "prompt", tokens));
  prepared.tokens = std::make_shared<const std::vector<TokenId>>(std::move(tokens));
  return prepared;
}

absl::StatusOr<std::vector<PreparedPrompt>> PreparePrompts(const ApiRequest& request,
                                                           const ModelInfo& model, absl::Time now) {
  std::vector<PreparedPrompt> prompts;
  if (request.kind == ApiKind::kChat) {
    ASSIGN_OR_RETURN(std::vector<TokenId> tokens, TokenizeChat(request, model, now));
    RETURN_IF_ERROR(CheckPrompt(model, "messages", tokens));
    prompts.push_back(
        {.text = "", .tokens = std::make_shared<const std::vector<TokenId>>(std::move(tokens))});
    return prompts;
  }
  for (const TextOrTokens& prompt : request.prompts) {
    ASSIGN_OR_RETURN(PreparedPrompt prepared, PreparePrompt(prompt, request, model));
    prompts.push_back(std::move(prepared));
  }
  return prompts;
}

// Tokens to generate for one prompt: what was asked for, if it fits.
absl::StatusOr<int> ResolveMaxTokens(const ApiRequest& request, int num_prompt_tokens,
                                     int max_model_len) {
  const int64_t room = int64_t{max_model_len} - num_prompt_tokens;
  if (!request.max_tokens && room >= 1) {
    return request.kind == ApiKind::kChat ? room
                                          : std::min<int64_t>(room, kDefaultCompletionTokens);
  }
  const int64_t wanted = std::max(request.max_tokens.value_or(1), 1);
  if (wanted <= room) return wanted;
  return WithErrorCode(
      InvalidField(
          request.prompt_field(),
          absl::StrCat("This model's maximum context length is ", max_model_len,
                       " tokens. However, you requested ", num_prompt_tokens + wanted, " tokens (",
                       num_prompt_tokens, " in the messages, ", wanted, " in the completion).")),
      "context_length_exceeded");
}

// The message of SamplingParams::Validate starts with the field's name.
absl::Status ValidateSampling(const SamplingParams& sampling, int vocab_size) {
  absl::Status status = sampling.Validate(vocab_size);
  if (status.ok()) return status;
  return WithParam(status, status.message().substr(0, status.message().find(' ')));
}

absl::StatusOr<GenerationRequest> PrepareSample(const ApiRequest& request, const ModelInfo& model,
                                                const PrepareContext& context,
                                                const PreparedPrompt& prompt) {
  GenerationRequest sample;
  sample.model = model.name();
  sample.prompt = prompt.tokens;
  sample.sampling = request.sampling;
  SamplingParams& sampling = sample.sampling;
  if (!request.has_seed) sampling.seed = context.random_seed;
  ASSIGN_OR_RETURN(
      sampling.max_tokens,
      ResolveMaxTokens(request, static_cast<int>(prompt.tokens->size()), context.max_model_len));
  sample.client_stop_token_ids = sampling.stop_token_ids;
  if (!request.ignore_eos) {
    const auto end_ids = model.tokenizer->EndOfTurnIds();
    sampling.stop_token_ids.insert(sampling.stop_token_ids.end(), end_ids.begin(), end_ids.end());
  }
  // The echoed prompt has log-probabilities too.
  if (request.echo && request.wants_logprobs()) {
    sampling.num_prompt_logprobs = std::max(sampling.num_prompt_logprobs, sampling.num_logprobs);
  }
  RETURN_IF_ERROR(ValidateSampling(sampling, model.config.vocab_size));
  sample.stop_strings = request.stop_strings;
  sample.include_stop_str_in_output = request.include_stop_str_in_output;
  sample.skip_special_tokens = request.skip_special_tokens;
  sample.is_prompt_only = request.max_tokens == 0;
  sample.cache_salt = HashName(request.cache_salt);
  sample.tenant = HashName(request.tenant);
  sample.priority = request.priority;
  sample.arrival = context.arrival;
  return sample;
}

}  // namespace

absl::StatusOr<std::vector<TokenId>> TokenizeChat(const ApiRequest& request, const ModelInfo& model,
                                                  absl::Time now) {
  if (model.chat_template == nullptr) {
    return NotSupported("messages", absl::StrCat("The model `", model.name(),
                                                 "` has no chat template; use /v1/completions."));
  }
  Json variables = request.template_variables;
  variables["messages"] = request.messages;
  variables["add_generation_prompt"] = request.add_generation_prompt;
  variables["bos_token"] = std::string(model.tokenizer->bos_text());
  variables["eos_token"] = std::string(model.tokenizer->eos_text());
  const absl::StatusOr<std::string> text = model.chat_template->Render(variables, now);
  // A template refuses a conversation it was not made for by raising an error.
  if (!text.ok()) {
    return WithParam(Annotate(text.status(), "The chat template refuses this conversation"),
                     "messages");
  }
  // The template writes the special tokens itself.
  return model.tokenizer->Encode(
      *text, {.add_special_tokens = request.add_special_tokens.value_or(false)});
}

absl::StatusOr<PreparedRequest> PrepareRequest(const ApiRequest& request, const ModelInfo& model,
                                               const PrepareContext& context) {
  RETURN_IF_ERROR(model.CheckName(request.model));
  PreparedRequest prepared;
  prepared.model = request.model.empty() ? model.name() : request.model;
  const SloClasses no_classes;
  const SloClasses& classes = context.slo_classes == nullptr ? no_classes : *context.slo_classes;
  ASSIGN_OR_RETURN(prepared.slo, classes.Resolve(request.slo));
  ASSIGN_OR_RETURN(prepared.prompts, PreparePrompts(request, model, context.arrival));
  for (const PreparedPrompt& prompt : prepared.prompts) {
    ASSIGN_OR_RETURN(GenerationRequest sample, PrepareSample(request, model, context, prompt));
    sample.slo = prepared.slo;
    for (int i = 0; i < request.n; ++i) {
      sample.sampling.sample_index = static_cast<uint32_t>(i);
      prepared.samples.push_back(sample);
    }
  }
  return prepared;
}

}  // namespace tandem
