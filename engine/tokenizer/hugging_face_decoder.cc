#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/hugging_face_stages.h"
#include "engine/tokenizer/stage_list.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// Steps work on single tokens until "Fuse" joins them; the only thing that can be done to the whole
// text as it grows is to drop spaces at its start.
struct DecoderReader {
  std::vector<DecodeStep> steps;
  TokenDecoder::TextRule rule;
  bool fused = false;
};

absl::Status AddReplace(const Stage& stage, DecoderReader* reader) {
  const Json* pattern = FindField(*stage.json, "pattern");
  if (pattern == nullptr || FindField(*pattern, "String") == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(stage.where, " with a pattern that is not a String is not supported"));
  }
  ReplaceDecodeStep step;
  ASSIGN_OR_RETURN(step.text, StringField(*pattern, "String", stage.where));
  ASSIGN_OR_RETURN(step.replacement, StringField(*stage.json, "content", stage.where));
  if (step.text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(stage.where, ": the pattern is empty"));
  }
  if (reader->fused && ReadUtf8(step.text).num_bytes != step.text.size()) {
    return absl::UnimplementedError(
        absl::StrCat(stage.where, " of \"", step.text, "\" after Fuse is not supported"));
  }
  reader->steps.emplace_back(std::move(step));
  return absl::OkStatus();
}

absl::Status AddStrip(const Stage& stage, DecoderReader* reader) {
  constexpr int64_t kMaxStrip = 1 << 20;
  ASSIGN_OR_RETURN(const std::string text, StringField(*stage.json, "content", stage.where));
  ASSIGN_OR_RETURN(const int64_t start, IntField(*stage.json, "start", stage.where));
  ASSIGN_OR_RETURN(const int64_t stop, IntField(*stage.json, "stop", stage.where));
  if (start < 0 || start > kMaxStrip || stop < 0 || stop > kMaxStrip || text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(stage.where, " of ", start, " and ", stop,
                                                   " times \"", text, "\" makes no sense"));
  }
  if (!reader->fused) {
    reader->steps.emplace_back(
        StripDecodeStep{text, static_cast<int>(start), static_cast<int>(stop)});
  } else if (text == " " && stop == 0) {
    reader->rule.num_leading_spaces += static_cast<int>(start);
  } else {
    return absl::UnimplementedError(absl::StrCat(stage.where, " of ", stop, " times \"", text,
                                                 "\" after Fuse is not supported"));
  }
  return absl::OkStatus();
}

absl::Status AddMetaspace(const Stage& stage, DecoderReader* reader) {
  MetaspaceDecodeStep step;
  ASSIGN_OR_RETURN(step.replacement, StringField(*stage.json, "replacement", stage.where));
  if (step.replacement.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(stage.where, ": \"replacement\" is empty"));
  }
  if (FindField(*stage.json, "prepend_scheme") != nullptr) {
    ASSIGN_OR_RETURN(const std::string scheme,
                     StringField(*stage.json, "prepend_scheme", stage.where));
    step.drop_first = scheme != "never";
  } else {
    ASSIGN_OR_RETURN(step.drop_first,
                     BoolFieldOr(*stage.json, "add_prefix_space", true, stage.where));
  }
  reader->steps.emplace_back(std::move(step));
  return absl::OkStatus();
}

absl::Status AddStage(const Stage& stage, DecoderReader* reader) {
  if (stage.type == "Replace") return AddReplace(stage, reader);
  if (stage.type == "Strip") return AddStrip(stage, reader);
  if (stage.type == "Fuse") {
    reader->fused = true;
    return absl::OkStatus();
  }
  if (reader->fused) {
    return absl::UnimplementedError(absl::StrCat(stage.where, " after Fuse is not supported"));
  }
  if (stage.type == "Metaspace") return AddMetaspace(stage, reader);
  if (stage.type == "ByteLevel") {
    reader->steps.emplace_back(ByteLevelDecodeStep{});
  } else if (stage.type == "ByteFallback") {
    reader->steps.emplace_back(ByteFallbackDecodeStep{});
  } else {
    return UnsupportedStage(stage);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenDecoder> ReadDecoder(const Json* json) {
  DecoderReader reader;
  if (json == nullptr) reader.rule.separator.assign(1, ' ');
  std::vector<Stage> stages;
  RETURN_IF_ERROR(FlattenStages(json, "decoder", "decoders", &stages));
  for (const Stage& stage : stages) RETURN_IF_ERROR(AddStage(stage, &reader));
  return TokenDecoder(std::move(reader.steps), std::move(reader.rule));
}

}  // namespace tandem
