#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/hugging_face_stages.h"
#include "engine/tokenizer/stage_list.h"

namespace tandem {
namespace {

absl::StatusOr<NormalizerStep> ReadStrip(const Stage& stage) {
  StripStep strip;
  ASSIGN_OR_RETURN(strip.left, BoolFieldOr(*stage.json, "strip_left", true, stage.where));
  ASSIGN_OR_RETURN(strip.right, BoolFieldOr(*stage.json, "strip_right", true, stage.where));
  return strip;
}

absl::StatusOr<NormalizerStep> ReadReplace(const Stage& stage) {
  ASSIGN_OR_RETURN(Regex pattern, PatternField(stage));
  ASSIGN_OR_RETURN(std::string content, StringField(*stage.json, "content", stage.where));
  return ReplaceStep{std::move(pattern), std::move(content)};
}

absl::StatusOr<NormalizerStep> ReadPrecompiled(const Stage& stage) {
  ASSIGN_OR_RETURN(const std::string base64,
                   StringField(*stage.json, "precompiled_charsmap", stage.where));
  std::string blob;
  if (!absl::Base64Unescape(base64, &blob)) {
    return absl::InvalidArgumentError(
        absl::StrCat(stage.where, ": \"precompiled_charsmap\" is not base64"));
  }
  return CharacterMap::Parse(blob);
}

absl::StatusOr<NormalizerStep> ReadStep(const Stage& stage) {
  if (stage.type == "NFC") return UnicodeForm{.compose = true, .compatibility = false};
  if (stage.type == "NFD") return UnicodeForm{.compose = false, .compatibility = false};
  if (stage.type == "NFKC") return UnicodeForm{.compose = true, .compatibility = true};
  if (stage.type == "NFKD") return UnicodeForm{.compose = false, .compatibility = true};
  if (stage.type == "Lowercase") return LowercaseStep{};
  if (stage.type == "StripAccents") return StripAccentsStep{};
  if (stage.type == "Strip") return ReadStrip(stage);
  if (stage.type == "Replace") return ReadReplace(stage);
  if (stage.type == "Precompiled") return ReadPrecompiled(stage);
  if (stage.type == "Prepend") {
    ASSIGN_OR_RETURN(std::string text, StringField(*stage.json, "prepend", stage.where));
    return PrependStep{std::move(text)};
  }
  return UnsupportedStage(stage);
}

}  // namespace

absl::StatusOr<Normalizer> ReadNormalizer(const Json* json) {
  std::vector<Stage> stages;
  RETURN_IF_ERROR(FlattenStages(json, "normalizer", "normalizers", &stages));
  std::vector<NormalizerStep> steps;
  for (const Stage& stage : stages) {
    ASSIGN_OR_RETURN(NormalizerStep step, ReadStep(stage));
    steps.push_back(std::move(step));
  }
  return Normalizer(std::move(steps));
}

}  // namespace tandem
