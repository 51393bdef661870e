#include "server/gateway/openai_response.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// JSON has no infinity; this stands for "impossible", as in vLLM's answers.
constexpr float kMinLogprob = -9999.0f;

double JsonLogprob(float logprob) { return std::max(logprob, kMinLogprob); }

// Characters, which is what clients index by.
int NumCharacters(absl::string_view text) {
  return static_cast<int>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

Json BytesJson(absl::string_view bytes) {
  Json list = Json::array();
  for (const char byte : bytes) list.push_back(static_cast<uint8_t>(byte));
  return list;
}

Json EmptyCompletionLogprobs() {
  return {{"tokens", Json::array()},
          {"token_logprobs", Json::array()},
          {"top_logprobs", Json::array()},
          {"text_offset", Json::array()}};
}

Json TokenIdsJson(absl::Span<const SampledToken> tokens) {
  Json ids = Json::array();
  for (const SampledToken& token : tokens) ids.push_back(token.token);
  return ids;
}

// By stage, in ms; null where they are not known.
Json StagesJson(const Stages& stages) {
  Json json;
  for (const Stage& stage : stages) {
    json[std::string(stage.name)] = absl::ToDoubleMilliseconds(stage.time);
  }
  return json;
}

}  // namespace

OpenAiResponse::OpenAiResponse(ResponseIdentity identity, const ApiRequest& request,
                               const PreparedRequest& prepared, const Tokenizer& tokenizer)
    : identity_(std::move(identity)),
      request_(request),
      prepared_(prepared),
      tokenizer_(tokenizer),
      text_offsets_(prepared.samples.size(), 0) {}

Json OpenAiResponse::Envelope(absl::string_view object) const {
  return {{"id", identity_.id},
          {"object", std::string(object)},
          {"created", identity_.created},
          {"model", identity_.model}};
}

Json OpenAiResponse::Whole(absl::Span<const Choice> choices, const Usage& usage) {
  Json response = Envelope(is_chat() ? "chat.completion" : "text_completion");
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const int index = static_cast<int>(i);
    const Choice& choice = choices[i];
    Json entry = {{"index", index}};
    Json logprobs;
    if (is_chat()) {
      entry["message"] = {{"role", "assistant"}, {"content", choice.text}};
      logprobs = Logprobs(index, choice.tokens);
    } else {
      entry["text"] = absl::StrCat(prompt_of(index).text, choice.text);
      logprobs = EchoLogprobs(index, choice.prompt_logprobs);
      Json generated = Logprobs(index, choice.tokens);
      if (logprobs.is_null()) {
        logprobs = std::move(generated);
      } else {
        for (auto& [key, values] : logprobs.items()) {
          for (Json& value : generated[key]) values.push_back(std::move(value));
        }
      }
    }
    entry["logprobs"] = std::move(logprobs);
    entry["finish_reason"] = FinishReasonJson(choice.summary);
    entry["stop_reason"] = StopReasonJson(choice.summary);
    if (request_.return_token_ids) {
      if (!is_chat()) entry["prompt_token_ids"] = *prompt_of(index).tokens;
      entry["token_ids"] = TokenIdsJson(choice.tokens);
    }
    if (!is_chat() && request_.wants_prompt_logprobs()) {
      entry["prompt_logprobs"] = PromptLogprobs(index, choice.prompt_logprobs);
    }
    list.push_back(std::move(entry));
  }
  response["choices"] = std::move(list);
  response["usage"] = UsageJson(usage);
  if (is_chat() && request_.wants_prompt_logprobs()) {
    response["prompt_logprobs"] = PromptLogprobs(0, choices.front().prompt_logprobs);
  }
  if (is_chat() && request_.return_token_ids) {
    response["prompt_token_ids"] = *prompt_of(0).tokens;
  }
  return response;
}

Json OpenAiResponse::Chunk(int choice, Json content, Json logprobs,
                           const GenerationSummary* summary) const {
  Json entry = {{"index", choice}};
  if (is_chat()) {
    entry["delta"] = std::move(content);
  } else {
    entry["text"] = std::move(content);
  }
  entry["logprobs"] = std::move(logprobs);
  entry["finish_reason"] = summary == nullptr ? Json(nullptr) : FinishReasonJson(*summary);
  if (summary != nullptr) entry["stop_reason"] = StopReasonJson(*summary);
  Json chunk = Envelope(is_chat() ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = Json::array({std::move(entry)});
  if (request_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

Json OpenAiResponse::FirstChunk(int choice, const std::vector<PromptLogprob>& prompt_logprobs) {
  Json chunk;
  if (is_chat()) {
    chunk = Chunk(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    if (request_.return_token_ids) chunk["prompt_token_ids"] = *prompt_of(choice).tokens;
    return chunk;
  }
  if (!request_.echo && !request_.return_token_ids) return nullptr;
  chunk = Chunk(choice, prompt_of(choice).text, EchoLogprobs(choice, prompt_logprobs), nullptr);
  if (request_.return_token_ids) {
    chunk["choices"][0]["prompt_token_ids"] = *prompt_of(choice).tokens;
    chunk["choices"][0]["token_ids"] = Json::array();
  }
  return chunk;
}

Json OpenAiResponse::DeltaChunk(int choice, const GenerationDelta& delta) {
  Json content = is_chat() ? Json{{"content", delta.text}} : Json(delta.text);
  Json chunk = Chunk(choice, std::move(content), Logprobs(choice, delta.tokens), nullptr);
  if (request_.return_token_ids) chunk["choices"][0]["token_ids"] = TokenIdsJson(delta.tokens);
  return chunk;
}

Json OpenAiResponse::FinishChunk(int choice, const GenerationSummary& summary) const {
  return Chunk(choice, is_chat() ? Json::object() : Json(""), nullptr, &summary);
}

Json OpenAiResponse::UsageChunk(const Usage& usage) const {
  Json chunk = Envelope(is_chat() ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

Json OpenAiResponse::UsageJson(const Usage& usage) const {
  Json json = {{"prompt_tokens", usage.num_prompt_tokens},
               {"completion_tokens", usage.num_completion_tokens},
               {"total_tokens", usage.num_prompt_tokens + usage.num_completion_tokens},
               {"prompt_tokens_details", {{"cached_tokens", usage.num_cached_tokens}}}};
  if (is_chat()) json["completion_tokens_details"] = {{"reasoning_tokens", 0}};
  return json;
}

Json OpenAiResponse::Logprobs(int choice, absl::Span<const SampledToken> tokens) {
  if (!request_.wants_logprobs()) return nullptr;
  if (is_chat()) return ChatLogprobs(tokens);
  Json logprobs = EmptyCompletionLogprobs();
  for (const SampledToken& token : tokens) AppendCompletionLogprob(choice, token, true, logprobs);
  return logprobs;
}

Json OpenAiResponse::ChatLogprobs(absl::Span<const SampledToken> tokens) const {
  const auto entry = [this](TokenId token, float logprob) {
    return Json{{"token", TokenText(token)},
                {"logprob", JsonLogprob(logprob)},
                {"bytes", BytesJson(tokenizer_.TokenBytes(token))}};
  };
  Json content = Json::array();
  for (const SampledToken& token : tokens) {
    Json top = Json::array();
    for (const TokenLogprob& other : token.top) top.push_back(entry(other.token, other.logprob));
    Json item = entry(token.token, token.logprob);
    item["top_logprobs"] = std::move(top);
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}};
}

void OpenAiResponse::AppendCompletionLogprob(int choice, const SampledToken& token,
                                             bool has_logprob, Json& logprobs) {
  const std::string text = TokenText(token.token);
  Json top = nullptr;
  if (has_logprob) {
    top = Json::object();
    for (const TokenLogprob& other : token.top) {
      top.emplace(TokenText(other.token), JsonLogprob(other.logprob));
    }
    top.emplace(text, JsonLogprob(token.logprob));
  }
  logprobs["tokens"].push_back(text);
  logprobs["token_logprobs"].push_back(has_logprob ? Json(JsonLogprob(token.logprob)) : Json());
  logprobs["top_logprobs"].push_back(std::move(top));
  logprobs["text_offset"].push_back(text_offsets_[choice]);
  text_offsets_[choice] += NumCharacters(text);
}

Json OpenAiResponse::EchoLogprobs(int choice, const std::vector<PromptLogprob>& prompt_logprobs) {
  if (!request_.echo || !request_.wants_logprobs()) return nullptr;
  const std::vector<TokenId>& tokens = *prompt_of(choice).tokens;
  absl::flat_hash_map<int, const SampledToken*> by_position;
  for (const PromptLogprob& logprob : prompt_logprobs) {
    by_position[logprob.position] = &logprob.token;
  }
  Json logprobs = EmptyCompletionLogprobs();
  for (size_t i = 0; i < tokens.size(); ++i) {
    // Nothing stands before the first token, so it has no probability.
    const auto known = by_position.find(static_cast<int>(i));
    const bool has_logprob = known != by_position.end();
    AppendCompletionLogprob(
        choice,
        has_logprob ? *known->second : SampledToken{.token = tokens[i], .logprob = 0, .top = {}},
        has_logprob, logprobs);
  }
  return logprobs;
}

// vLLM's shape: per position an object from token id to its log-probability; null for the first.
Json OpenAiResponse::PromptLogprobs(int choice,
                                    const std::vector<PromptLogprob>& prompt_logprobs) const {
  Json list(prompt_of(choice).tokens->size(), nullptr);
  for (const PromptLogprob& logprob : prompt_logprobs) {
    if (logprob.position < 0 || logprob.position >= static_cast<int>(list.size())) continue;
    Json entries = Json::object();
    const auto add = [&](TokenId token, float value, Json rank) {
      entries.emplace(absl::StrCat(token), Json{{"logprob", JsonLogprob(value)},
                                                {"rank", std::move(rank)},
                                                {"decoded_token", TokenText(token)}});
    };
    const SampledToken& token = logprob.token;
    for (size_t rank = 0; rank < token.top.size(); ++rank) {
      add(token.top[rank].token, token.top[rank].logprob, rank + 1);
    }
    add(token.token, token.logprob, nullptr);  // unless it is among the best; its rank is unknown
    list[logprob.position] = std::move(entries);
  }
  return list;
}

std::string OpenAiResponse::TokenText(TokenId token) const {
  return ReplaceInvalidUtf8(tokenizer_.TokenBytes(token));
}

Json FinishReasonJson(const GenerationSummary& summary) {
  switch (summary.ending.reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    default:
      return nullptr;
  }
}

Json StopReasonJson(const GenerationSummary& summary) {
  if (summary.ending.stop_string) return *summary.ending.stop_string;
  if (summary.ending.stop_token) return *summary.ending.stop_token;
  return nullptr;
}

Json TandemJson(absl::Span<const GenerationSummary> summaries, bool with_timing) {
  const GenerationSummary& first = summaries.front();
  int64_t kv_bytes = 0;
  for (const GenerationSummary& summary : summaries) kv_bytes += summary.kv_bytes;
  const auto name_or_null = [](const std::string& name) {
    return name.empty() ? Json(nullptr) : Json(name);
  };
  const auto ms_or_null = [](absl::Duration time) {
    return time == absl::ZeroDuration() ? Json(nullptr) : Json(absl::ToDoubleMilliseconds(time));
  };
  Json json = {{"ttft_ms", absl::ToDoubleMilliseconds(first.latency.ttft)},
               {"tpot_ms", absl::ToDoubleMilliseconds(first.latency.tpot)},
               {"kv_bytes", kv_bytes},
               {"path", first.path},
               {"prefill", name_or_null(first.prefill_instance)},
               {"decode", name_or_null(first.decode_instance)}};
  if (with_timing) {
    json["timing"] = {{"first_token_ms", StagesJson(first.first_token_stages)},
                      {"second_token_ms", StagesJson(first.second_token_stages)},
                      {"predicted_ttft_ms", ms_or_null(first.predicted_ttft)},
                      {"predicted_tpot_ms", ms_or_null(first.predicted_tpot)}};
  }
  return json;
}

}  // namespace tandem
