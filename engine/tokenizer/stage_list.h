// Flattens a stage of tokenizer.json, where "Sequence" nests stages, into the list of its parts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/json_fields.h"
#include "engine/tokenizer/regex.h"

namespace tandem {

struct Stage {
  std::string type;
  const Json* json;   // The object with its fields.
  std::string where;  // For messages, such as "tokenizer.json: normalizer Replace".
};

// Appends the parts of `json` (null: none) in order. `list_key`: how its "Sequence" calls the list.
absl::Status FlattenStages(const Json* json, absl::string_view name, absl::string_view list_key,
                           std::vector<Stage>* stages);

// UNIMPLEMENTED, naming the stage.
absl::Status UnsupportedStage(const Stage& stage);

// The field "pattern": {"String": text} or {"Regex": expression}.
absl::StatusOr<Regex> PatternField(const Stage& stage);

}  // namespace tandem
