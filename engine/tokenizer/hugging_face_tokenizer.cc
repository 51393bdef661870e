// Reads a tokeniser from tokenizer.json and tokenizer_config.json of a Hugging Face folder.
#include <algorithm>
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

constexpr absl::string_view kConfig = "tokenizer_config.json";
constexpr absl::string_view kGenerationConfig = "generation_config.json";

absl::StatusOr<AddedEntry> ReadAddedEntry(const Json& json, const Normalizer& normalizer) {
  AddedEntry entry;
  AddedToken& token = entry.token;
  ASSIGN_OR_RETURN(entry.content, StringField(json, "content", kAddedTokens));
  ASSIGN_OR_RETURN(const int64_t id, IntField(json, "id", kAddedTokens));
  if (id < 0 || id >= kMaxTokens || entry.content.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(kAddedTokens, ": token \"", entry.content,
                                                   "\" with id ", id, " is out of range"));
  }
  token.id = static_cast<int32_t>(id);
  ASSIGN_OR_RETURN(token.special, BoolFieldOr(json, "special", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.single_word, BoolFieldOr(json, "single_word", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.lstrip, BoolFieldOr(json, "lstrip", false, kAddedTokens));
  ASSIGN_OR_RETURN(token.rstrip, BoolFieldOr(json, "rstrip", false, kAddedTokens));
  ASSIGN_OR_RETURN(entry.normalized, BoolFieldOr(json, "normalized", !token.special, kAddedTokens));
  token.text = entry.content;
  if (entry.normalized) {
    ASSIGN_OR_RETURN(token.text, normalizer.Apply(entry.content));
  }
  return entry;
}

absl::StatusOr<std::vector<AddedEntry>> ReadAddedEntries(const Json& json,
                                                         const Normalizer& normalizer) {
  std::vector<AddedEntry> entries;
  if (FindField(json, "added_tokens") == nullptr) return entries;
  ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "added_tokens", "tokenizer.json"));
  for (const Json& item : *list) {
    ASSIGN_OR_RETURN(AddedEntry entry, ReadAddedEntry(item, normalizer));
    entries.push_back(std::move(entry));
  }
  return entries;
}

// The tokens that are looked for in the raw or in the normalised text. Of texts that have become
// one by normalising, the first counts.
AddedTokens SelectAdded(const std::vector<AddedEntry>& entries, bool normalized) {
  std::vector<AddedToken> tokens;
  absl::flat_hash_set<absl::string_view> seen;
  for (const AddedEntry& entry : entries) {
    if (entry.normalized != normalized || entry.token.text.empty()) continue;
    if (seen.insert(entry.token.text).second) tokens.push_back(entry.token);
  }
  return AddedTokens(std::move(tokens));
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

// "add_bos_token" and its like overrule the post-processor, as in transformers. `position`: where
// in
// `*edge` the token belongs.
absl::Status ApplyAddFlag(const Json& config, absl::string_view key,
                          const std::optional<int32_t>& id, std::vector<int32_t>* edge,
                          std::vector<int32_t>::iterator position) {
  if (FindField(config, key) == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool add, BoolFieldOr(config, key, false, kConfig));
  if (!id.has_value()) return absl::OkStatus();
  const bool present = std::find(edge->begin(), edge->end(), *id) != edge->end();
  if (add && !present) edge->insert(position, *id);
  if (!add) edge->erase(std::remove(edge->begin(), edge->end(), *id), edge->end());
  return absl::OkStatus();
}

// "eos_token_id" of generation_config.json: an id or several.
absl::Status AppendEndIds(absl::string_view text, std::vector<int32_t>* ids) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Json config, ParseJson(text, kGenerationConfig));
  const Json* field = FindField(config, "eos_token_id");
  if (field == nullptr) return absl::OkStatus();
  for (const Json& id : field->is_array() ? *field : Json::array({*field})) {
    if (!id.is_number_integer() || id < 0 || id >= kMaxTokens) {
      return absl::InvalidArgumentError(
          absl::StrCat(kGenerationConfig, ": eos_token_id: ", id.dump(), " is no token id"));
    }
    ids->push_back(id.get<int32_t>());
  }
  return absl::OkStatus();
}

// Of tokenizer_config.json; `end_ids` end a turn besides what it names.
absl::Status ReadConfig(absl::string_view text, std::vector<int32_t> end_ids,
                        TokenizerParts* parts) {
  if (!text.empty()) {
    ASSIGN_OR_RETURN(const Json config, ParseJson(text, kConfig));
    ASSIGN_OR_RETURN(parts->bos_text, ConfigToken(config, "bos_token"));
    ASSIGN_OR_RETURN(parts->eos_text, ConfigToken(config, "eos_token"));
    parts->bos_id = parts->vocabulary->Find(parts->bos_text);
    parts->eos_id = parts->vocabulary->Find(parts->eos_text);
    if (parts->eos_id.has_value()) end_ids.push_back(*parts->eos_id);
    RETURN_IF_ERROR(ApplyAddFlag(config, "add_bos_token", parts->bos_id, &parts->prefix_ids,
                                 parts->prefix_ids.begin()));
    RETURN_IF_ERROR(ApplyAddFlag(config, "add_eos_token", parts->eos_id, &parts->suffix_ids,
                                 parts->suffix_ids.end()));
    ASSIGN_OR_RETURN(parts->chat_template, ConfigChatTemplate(config));
  }
  parts->end_of_turn_ids = FindEndOfTurnIds(*parts->vocabulary, std::move(end_ids));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerParts> ReadHuggingFaceTokenizer(absl::string_view tokenizer_json,
                                                        absl::string_view tokenizer_config_json,
                                                        absl::string_view generation_config_json) {
  ASSIGN_OR_RETURN(const Json json, ParseJson(tokenizer_json, "tokenizer.json"));
  const Json* model = FindField(json, "model");
  if (model == nullptr) {
    return absl::InvalidArgumentError("tokenizer.json: \"model\" is absent");
  }
  TokenizerParts parts;
  ASSIGN_OR_RETURN(parts.normalizer, ReadNormalizer(FindField(json, "normalizer")));
  ASSIGN_OR_RETURN(parts.pre_tokenizer, ReadPreTokenizer(FindField(json, "pre_tokenizer")));
  ASSIGN_OR_RETURN(parts.decoder, ReadDecoder(FindField(json, "decoder")));
  ASSIGN_OR_RETURN(const std::vector<AddedEntry> added, ReadAddedEntries(json, parts.normalizer));
  parts.raw_added = SelectAdded(added, /*normalized=*/false);
  parts.normalized_added = SelectAdded(added, /*normalized=*/true);
  RETURN_IF_ERROR(ReadVocabulary(*model, added, &parts));
  RETURN_IF_ERROR(ReadModel(*model, &parts));
  RETURN_IF_ERROR(ReadPostProcessor(FindField(json, "post_processor"), &parts));
  std::vector<int32_t> end_ids;
  RETURN_IF_ERROR(AppendEndIds(generation_config_json, &end_ids));
  RETURN_IF_ERROR(ReadConfig(tokenizer_config_json, std::move(end_ids), &parts));
  return parts;
}

}  // namespace tandem
