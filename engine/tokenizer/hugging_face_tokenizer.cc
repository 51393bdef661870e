// Reads a tokeniser from tokenizer.json and tokenizer_config.json of a Hugging Face folder.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/end_of_turn.h"
#include "engine/tokenizer/hugging_face_model.h"
#include "engine/tokenizer/hugging_face_stages.h"
#include "engine/tokenizer/json_fields.h"
#include "engine/tokenizer/tokenizer_parts.h"

namespace tandem {
namespace {

constexpr absl::string_view kAddedTokens = "tokenizer.json: added_tokens";
constexpr absl::string_view kConfig = "tokenizer_config.json";

struct AddedList {
  std::vector<AddedToken> tokens;
  std::vector<bool> normalized;  // Looked for in the normalised text.
};

absl::Status ReadAddedToken(const Json& json, AddedList* added) {
  AddedToken token;
  ASSIGN_OR_RETURN(token.text, StringField(json, "content", kAddedTokens));
  ASSIGN_OR_RETURN(const int64_t id, IntField(json, "id", kAddedTokens));
  if (id < 0 || id >= kMaxTokens || token.text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(kAddedTokens, ": token \"", token.text,
                                                   "\" with id ", id, " is out of range"));
  }
  token.id = static_cast<int32_t>(id);
  ASSIGN_OR_RETURN(token.special, BoolFieldOr(json, "special", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.single_word, BoolFieldOr(json, "single_word", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.lstrip, BoolFieldOr(json, "lstrip", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.rstrip, BoolFieldOr(json, "rstrip", false, kAddedTokens));
  ASSIGN_OR_RETURN(const bool normalized,
                   BoolFieldOr(json, "normalized", !token.special, kAddedTokens));
  added->tokens.push_back(std::move(token));
  added->normalized.push_back(normalized);
  return absl::OkStatus();
}

absl::StatusOr<AddedList> ReadAddedTokens(const Json& json) {
  AddedList added;
  if (FindField(json, "added_tokens") == nullptr) return added;
  ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "added_tokens", "tokenizer.json"));
  for (const Json& item : *list) RETURN_IF_ERROR(ReadAddedToken(item, &added));
  return added;
}

absl::Status PlaceAddedTokens(AddedList added, TokenizerParts* parts) {
  std::vector<AddedToken> lists[2];  // By whether the token is looked for in normalised text.
  absl::flat_hash_set<std::string> seen[2];
  for (size_t i = 0; i < added.tokens.size(); ++i) {
    AddedToken& token = added.tokens[i];
    const bool normalized = added.normalized[i];
    if (normalized) {
      ASSIGN_OR_RETURN(token.text, parts->normalizer.Apply(token.text));
    }
    // Of texts that are one once normalised, the first counts.
    if (token.text.empty() || !seen[normalized].insert(token.text).second) continue;
    lists[normalized].push_back(std::move(token));
  }
  parts->raw_added = AddedTokens(std::move(lists[false]));
  parts->normalized_added = AddedTokens(std::move(lists[true]));
  return absl::OkStatus();
}

// A token of the config: "text" or {"content": "text"}.
absl::StatusOr<std::string> ConfigToken(const Json& config, absl::string_view key) {
  const Json* field = FindField(config, key);
  if (field == nullptr) return "";
  if (field->is_object()) return StringField(*field, "content", kConfig);
  return StringField(config, key, kConfig);
}

// "template" or [{"name": "default", "template": "..."}, ...], of which the default (or, without
// one, the first) is taken.
absl::StatusOr<std::string> ConfigChatTemplate(const Json& config) {
  const Json* field = FindField(config, "chat_template");
  if (field == nullptr) return "";
  if (!field->is_array()) return StringField(config, "chat_template", kConfig);
  const Json* chosen = nullptr;
  for (const Json& named : *field) {
    const Json* name = FindField(named, "name");
    const bool is_default = name != nullptr && *name == "default";
    if (chosen == nullptr || is_default) chosen = &named;
  }
  if (chosen == nullptr) return "";
  return StringField(*chosen, "template", absl::StrCat(kConfig, ": chat_template"));
}

// "add_bos_token" and its like overrule the post-processor, as in transformers.
absl::Status ApplyAddFlag(const Json& config, absl::string_view key,
                          const std::optional<int32_t>& id, std::vector<int32_t>* edge) {
  if (FindField(config, key) == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool add, BoolFieldOr(config, key, false, kConfig));
  if (!add) edge->clear();
  if (add && id.has_value()) *edge = {*id};
  return absl::OkStatus();
}

absl::Status ReadConfig(absl::string_view text, TokenizerParts* parts) {
  std::vector<int32_t> named;
  if (!text.empty()) {
    ASSIGN_OR_RETURN(const Json config, ParseJson(text, kConfig));
    ASSIGN_OR_RETURN(parts->bos_text, ConfigToken(config, "bos_token"));
    ASSIGN_OR_RETURN(parts->eos_text, ConfigToken(config, "eos_token"));
    parts->bos_id = parts->vocabulary->Find(parts->bos_text);
    parts->eos_id = parts->vocabulary->Find(parts->eos_text);
    if (parts->eos_id.has_value()) named.push_back(*parts->eos_id);
    RETURN_IF_ERROR(ApplyAddFlag(config, "add_bos_token", parts->bos_id, &parts->prefix_ids));
    RETURN_IF_ERROR(ApplyAddFlag(config, "add_eos_token", parts->eos_id, &parts->suffix_ids));
    ASSIGN_OR_RETURN(parts->chat_template, ConfigChatTemplate(config));
  }
  parts->end_of_turn_ids = FindEndOfTurnIds(*parts->vocabulary, std::move(named));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerParts> ReadHuggingFaceTokenizer(absl::string_view tokenizer_json,
                                                        absl::string_view tokenizer_config_json) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(tokenizer_json, "tokenizer.json"));
  const Json* model = FindField(json, "model");
  if (model == nullptr) {
    return absl::InvalidArgumentError("tokenizer.json: \"model\" is absent");
  }
  TokenizerParts parts;
  ASSIGN_OR_RETURN(AddedList added, ReadAddedTokens(json));
  RETURN_IF_ERROR(ReadVocabulary(*model, added.tokens, &parts));
  ASSIGN_OR_RETURN(parts.normalizer, ReadNormalizer(FindField(json, "normalizer")));
  ASSIGN_OR_RETURN(parts.pre_tokenizer, ReadPreTokenizer(FindField(json, "pre_tokenizer")));
  ASSIGN_OR_RETURN(parts.decoder, ReadDecoder(FindField(json, "decoder")));
  RETURN_IF_ERROR(PlaceAddedTokens(std::move(added), &parts));
  RETURN_IF_ERROR(ReadModel(*model, &parts));
  RETURN_IF_ERROR(ReadPostProcessor(FindField(json, "post_processor"), &parts));
  RETURN_IF_ERROR(ReadConfig(tokenizer_config_json, &parts));
  return parts;
}

}  // namespace tandem
