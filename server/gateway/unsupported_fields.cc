#include "server/gateway/unsupported_fields.h"

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "engine/core/log.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

// True where the value asks for nothing beyond what happens anyway.
using IsDefault = bool (*)(const Json& value, const Json& body);

bool Never(const Json& value, const Json& body) { return false; }
bool IfFalse(const Json& value, const Json& body) { return value == false; }
bool IfEmpty(const Json& value, const Json& body) {
  return value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty();
}

// Without tools, letting the model choose among none is the same as having none.
bool IfNoToolIsForced(const Json& value, const Json& body) {
  return value == "none" || value == "auto";
}

bool IfText(const Json& value, const Json& body) {
  return value.is_object() && value.contains("type") && value["type"] == "text";
}

bool IfOnlyText(const Json& value, const Json& body) {
  return value.is_array() && value.size() == 1 && value[0] == "text";
}

// best_of == n returns every sample that was drawn.
bool IfEqualToN(const Json& value, const Json& body) {
  const auto n = body.find("n");
  return value == (n == body.end() || n->is_null() ? Json(1) : *n);
}

const absl::flat_hash_map<absl::string_view, IsDefault>& UnsupportedFields() {
  static const auto* const kFields = new absl::flat_hash_map<absl::string_view, IsDefault>{
      {"tools", IfEmpty},
      {"tool_choice", IfNoToolIsForced},
      {"functions", IfEmpty},
      {"function_call", IfNoToolIsForced},
      {"response_format", IfText},
      {"modalities", IfOnlyText},
      {"audio", Never},
      {"web_search_options", Never},
      {"best_of", IfEqualToN},
      {"suffix", IfEmpty},
      {"use_beam_search", IfFalse},
      {"guided_json", Never},
      {"guided_regex", Never},
      {"guided_choice", Never},
      {"guided_grammar", Never},
      {"structured_outputs", Never},
      {"grammar", IfEmpty},
      {"json_schema", Never},
      {"allowed_token_ids", Never},
      {"bad_words", IfEmpty},
      {"logits_processors", IfEmpty},
      {"truncate_prompt_tokens", Never},
      {"continue_final_message", IfFalse},
      {"chat_template", Never},
      {"mm_processor_kwargs", IfEmpty},
      {"prompt_embeds", Never},
      {"lora_path", Never},
      {"return_tokens_as_token_ids", IfFalse},
      {"thinking_token_budget", Never},
  };
  return *kFields;
}

void LogUnknownOnce(absl::string_view name) {
  // Clients choose the names, so the memory of them is bounded.
  constexpr size_t kMaxNames = 256;
  constexpr size_t kMaxNameLength = 64;
  static absl::Mutex mutex(absl::kConstInit);
  static auto* const kSeen = new absl::flat_hash_set<std::string>();
  const absl::MutexLock lock(&mutex);
  if (kSeen->size() >= kMaxNames) return;
  const std::string shown = absl::CHexEscape(name.substr(0, kMaxNameLength));
  if (kSeen->insert(shown).second)
    LOG(INFO) << "ignoring unknown request field \"" << shown << "\"";
}

}  // namespace

absl::Status CheckUnsupportedField(absl::string_view name, const Json& value, const Json& body) {
  const auto field = UnsupportedFields().find(name);
  if (field == UnsupportedFields().end()) {
    LogUnknownOnce(name);
    return absl::OkStatus();
  }
  if (field->second(value, body)) return absl::OkStatus();
  return NotSupported(name, absl::StrCat("`", name, "` is not supported by this build."));
}

}  // namespace tandem
