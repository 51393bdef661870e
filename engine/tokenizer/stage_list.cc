#include "engine/tokenizer/stage_list.h"

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

absl::Status Flatten(const Json* json, absl::string_view name, absl::string_view list_key,
                     int depth, std::vector<Stage>* stages) {
  constexpr int kMaxDepth = 16;  // The file comes from outside, our stack does not grow with it.
  if (json == nullptr) return absl::OkStatus();
  const std::string where = absl::StrCat("tokenizer.json: ", name);
  if (depth == kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(where, " is nested too deeply"));
  }
  // Not moved out of its StatusOr: gcc 12 then believes that it may be uninitialised.
  const absl::StatusOr<std::string> type = StringField(*json, "type", where);
  RETURN_IF_ERROR(type.status());
  if (*type != "Sequence") {
    stages->push_back({*type, json, absl::StrCat(where, " ", *type)});
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Json* list, ArrayField(*json, list_key, where));
  for (const Json& part : *list) {
    RETURN_IF_ERROR(Flatten(&part, name, list_key, depth + 1, stages));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FlattenStages(const Json* json, absl::string_view name, absl::string_view list_key,
                           std::vector<Stage>* stages) {
  return Flatten(json, name, list_key, /*depth=*/0, stages);
}

absl::Status UnsupportedStage(const Stage& stage) {
  return absl::UnimplementedError(absl::StrCat(stage.where, " is not supported"));
}

absl::StatusOr<Regex> PatternField(const Stage& stage) {
  const Json* pattern = FindField(*stage.json, "pattern");
  if (pattern != nullptr && FindField(*pattern, "Regex") != nullptr) {
    ASSIGN_OR_RETURN(const std::string regex, StringField(*pattern, "Regex", stage.where));
    return Regex::Compile(regex);
  }
  if (pattern == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(stage.where, ": \"pattern\" is absent"));
  }
  ASSIGN_OR_RETURN(const std::string text, StringField(*pattern, "String", stage.where));
  return Regex::Literal(text);
}

}  // namespace tandem
