#include "server/bench/openai_stream.h"

#include <nlohmann/json.hpp>

namespace tandem {
namespace {

using nlohmann::json;

bool HasText(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() &&
         !found->get_ref<const std::string&>().empty();
}

// Whether a chunk's choice brings anything that a reader sees.
bool HasContent(const json& choice) {
  if (!choice.is_object()) return false;
  if (HasText(choice, "text")) return true;
  const auto delta = choice.find("delta");
  if (delta == choice.end() || !delta->is_object()) return false;
  const auto tools = delta->find("tool_calls");
  return HasText(*delta, "content") || HasText(*delta, "reasoning_content") ||
         HasText(*delta, "reasoning") ||
         (tools != delta->end() && tools->is_array() && !tools->empty());
}

std::optional<int> Count(const json& object, const char* field) {
  const auto found = object.find(field);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int>();
}

const json* FindObject(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

std::string MessageOf(const json& error) {
  if (error.is_string()) return error.get<std::string>();
  if (error.is_object() && HasText(error, "message")) return error.at("message");
  return "an error without a message";
}

}  // namespace

std::string ErrorMessageOf(absl::string_view body) {
  constexpr size_t kMaxQuoted = 200;
  const json parsed = json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object() && parsed.contains("error")) return MessageOf(parsed["error"]);
  return std::string(body.substr(0, kMaxQuoted));
}

void OpenAiStream::OnToken(bool has_text, absl::Duration since_sent) {
  if (has_text && !first_text_) {
    // What came before it was no token: the role of a chat's answer, say.
    first_text_ = since_sent;
    gaps_ms_.clear();
  } else if (last_chunk_) {
    gaps_ms_.push_back(absl::ToDoubleMilliseconds(since_sent - *last_chunk_));
  }
  if (!first_chunk_) first_chunk_ = since_sent;
  last_chunk_ = since_sent;
  num_text_chunks_ += has_text;
}

void OpenAiStream::OnEvent(absl::string_view data, absl::Duration since_sent) {
  if (data == "[DONE]" || !error_.empty()) return;
  const json event = json::parse(data.begin(), data.end(), nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) {
    error_ = "an event that is no JSON object: " + std::string(data.substr(0, 200));
    return;
  }
  if (const auto error = event.find("error"); error != event.end() && !error->is_null()) {
    error_ = MessageOf(*error);
    return;
  }
  const auto choices = event.find("choices");
  if (choices != event.end() && choices->is_array() && !choices->empty()) {
    OnToken(HasContent((*choices)[0]), since_sent);
  }
  if (const json* usage = FindObject(event, "usage")) {
    if (const auto count = Count(*usage, "prompt_tokens")) prompt_tokens_ = count;
    if (const auto count = Count(*usage, "completion_tokens")) output_tokens_ = count;
    if (const json* details = FindObject(*usage, "prompt_tokens_details")) {
      cached_tokens_ = Count(*details, "cached_tokens").value_or(cached_tokens_);
    }
  }
  if (const json* tandem = FindObject(event, "tandem"); tandem && HasText(*tandem, "path")) {
    path_ = tandem->at("path");
  }
}

void OpenAiStream::Finish(bool is_complete, RequestRecord& record) const {
  record.error = error_;
  if (record.error.empty() && !is_complete) record.error = "the stream broke off";
  if (record.error.empty() && !first_chunk_) record.error = "the answer was empty";
  record.outcome =
      record.error.empty() ? RequestRecord::Outcome::kServed : RequestRecord::Outcome::kFailed;
  record.output_tokens = output_tokens_.value_or(num_text_chunks_);
  record.prompt_tokens = prompt_tokens_.value_or(record.prompt_tokens);
  record.cached_tokens = cached_tokens_;
  record.path = path_;
  if (!first_chunk_) return;
  record.ttft = first_text_ ? *first_text_ : *first_chunk_;
  record.latency = *last_chunk_;
  record.token_gaps_ms = gaps_ms_;
}

}  // namespace tandem
