#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/hugging_face_model.h"

namespace tandem {
namespace {

constexpr absl::string_view kPostProcessor = "tokenizer.json: post_processor";

// Id of the token `text` that the post-processor puts in.
absl::StatusOr<int32_t> FindEdgeToken(const std::string& text, const Vocabulary& vocabulary) {
  const std::optional<int32_t> id = vocabulary.Find(text);
  if (id.has_value()) return *id;
  return absl::InvalidArgumentError(
      absl::StrCat(kPostProcessor, ": token \"", text, "\" is not in the vocabulary"));
}

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...]}
absl::Status ReadTemplate(const Json& json, TokenizerParts* parts) {
  ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "single", kPostProcessor));
  std::vector<int32_t>* edge = &parts->prefix_ids;
  for (const Json& item : *list) {
    if (FindField(item, "Sequence") != nullptr) {
      edge = &parts->suffix_ids;
      continue;
    }
    const Json* special = FindField(item, "SpecialToken");
    if (special == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          kPostProcessor, ": an item of \"single\" is neither SpecialToken nor Sequence"));
    }
    ASSIGN_OR_RETURN(const std::string text, StringField(*special, "id", kPostProcessor));
    ASSIGN_OR_RETURN(const int32_t id, FindEdgeToken(text, *parts->vocabulary));
    edge->push_back(id);
  }
  return absl::OkStatus();
}

// {"cls": ["<s>", 0], "sep": ["</s>", 2]}
absl::Status ReadClsSep(const Json& json, TokenizerParts* parts) {
  for (const auto& [key, edge] :
       {std::pair("cls", &parts->prefix_ids), std::pair("sep", &parts->suffix_ids)}) {
    ASSIGN_OR_RETURN(const Json* pair, ArrayField(json, key, kPostProcessor));
    if (pair->empty() || !pair->front().is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kPostProcessor, ": \"", key, "\" is no token"));
    }
    ASSIGN_OR_RETURN(const int32_t id,
                     FindEdgeToken(pair->front().get<std::string>(), *parts->vocabulary));
    edge->push_back(id);
  }
  return absl::OkStatus();
}

absl::Status ReadProcessor(const Json& json, int depth, TokenizerParts* parts) {
  ASSIGN_OR_RETURN(const std::string type, StringField(json, "type", kPostProcessor));
  if (type == "ByteLevel") return absl::OkStatus();  // Only moves offsets, which we do not report.
  if (type == "TemplateProcessing") return ReadTemplate(json, parts);
  if (type == "RobertaProcessing" || type == "BertProcessing") return ReadClsSep(json, parts);
  if (type != "Sequence" || depth > 0) {
    return absl::UnimplementedError(absl::StrCat(kPostProcessor, " ", type, " is not supported"));
  }
  ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "processors", kPostProcessor));
  for (const Json& part : *list) RETURN_IF_ERROR(ReadProcessor(part, depth + 1, parts));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadPostProcessor(const Json* json, TokenizerParts* parts) {
  return json == nullptr ? absl::OkStatus() : ReadProcessor(*json, /*depth=*/0, parts);
}

}  // namespace tandem
