#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/hugging_face_stages.h"
#include "engine/tokenizer/pre_tokenizer_patterns.h"
#include "engine/tokenizer/stage_list.h"

namespace tandem {
namespace {

using Steps = std::vector<PreTokenizerStep>;

// What Rust's char::is_ascii_punctuation and general category P cover.
constexpr absl::string_view kPunctuation = R"([!-/:-@\[-`{-~\p{P}])";

absl::Status AddSplit(absl::StatusOr<Regex> pattern, SplitBehavior behavior, bool invert,
                      Steps* steps) {
  RETURN_IF_ERROR(pattern.status());
  steps->emplace_back(
      SplitStep{.pattern = *std::move(pattern), .behavior = behavior, .invert = invert});
  return absl::OkStatus();
}

absl::StatusOr<SplitBehavior> BehaviorField(const Stage& stage) {
  ASSIGN_OR_RETURN(const std::string name, StringField(*stage.json, "behavior", stage.where));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return absl::InvalidArgumentError(
      absl::StrCat(stage.where, ": behavior \"", name, "\" is not known"));
}

absl::Status AddByteLevel(const Stage& stage, Steps* steps) {
  ASSIGN_OR_RETURN(const bool prefix,
                   BoolFieldOr(*stage.json, "add_prefix_space", true, stage.where));
  ASSIGN_OR_RETURN(const bool use_regex, BoolFieldOr(*stage.json, "use_regex", true, stage.where));
  if (prefix) steps->emplace_back(PrefixSpaceStep{});
  if (use_regex) {
    RETURN_IF_ERROR(AddSplit(Regex::Compile(kGpt2Pattern), SplitBehavior::kIsolated, false, steps));
  }
  steps->emplace_back(ByteLevelStep{});
  return absl::OkStatus();
}

absl::StatusOr<MetaspaceStep::Prepend> PrependField(const Stage& stage) {
  using Prepend = MetaspaceStep::Prepend;
  if (FindField(*stage.json, "prepend_scheme") == nullptr) {  // Files of before 2024.
    ASSIGN_OR_RETURN(const bool prefix,
                     BoolFieldOr(*stage.json, "add_prefix_space", true, stage.where));
    return prefix ? Prepend::kAlways : Prepend::kNever;
  }
  ASSIGN_OR_RETURN(const std::string name, StringField(*stage.json, "prepend_scheme", stage.where));
  if (name == "always") return Prepend::kAlways;
  if (name == "first") return Prepend::kFirst;
  if (name == "never") return Prepend::kNever;
  return absl::InvalidArgumentError(
      absl::StrCat(stage.where, ": prepend_scheme \"", name, "\" is not known"));
}

absl::Status AddMetaspace(const Stage& stage, Steps* steps) {
  MetaspaceStep metaspace;
  ASSIGN_OR_RETURN(metaspace.replacement, StringField(*stage.json, "replacement", stage.where));
  ASSIGN_OR_RETURN(metaspace.prepend, PrependField(stage));
  ASSIGN_OR_RETURN(const bool split, BoolFieldOr(*stage.json, "split", true, stage.where));
  absl::StatusOr<Regex> pattern = Regex::Literal(metaspace.replacement);
  steps->emplace_back(std::move(metaspace));
  if (!split) return absl::OkStatus();
  return AddSplit(std::move(pattern), SplitBehavior::kMergedWithNext, false, steps);
}

absl::Status AddDigits(const Stage& stage, Steps* steps) {
  ASSIGN_OR_RETURN(const bool individual,
                   BoolFieldOr(*stage.json, "individual_digits", false, stage.where));
  const auto behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  return AddSplit(Regex::Compile(R"(\p{N})"), behavior, false, steps);
}

absl::Status AddPunctuation(const Stage& stage, Steps* steps) {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  if (FindField(*stage.json, "behavior") != nullptr) {
    ASSIGN_OR_RETURN(behavior, BehaviorField(stage));
  }
  return AddSplit(Regex::Compile(kPunctuation), behavior, false, steps);
}

absl::Status AddStage(const Stage& stage, Steps* steps) {
  if (stage.type == "ByteLevel") return AddByteLevel(stage, steps);
  if (stage.type == "Metaspace") return AddMetaspace(stage, steps);
  if (stage.type == "Digits") return AddDigits(stage, steps);
  if (stage.type == "Punctuation") return AddPunctuation(stage, steps);
  if (stage.type == "Split") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, BehaviorField(stage));
    ASSIGN_OR_RETURN(const bool invert, BoolFieldOr(*stage.json, "invert", false, stage.where));
    return AddSplit(PatternField(stage), behavior, invert, steps);
  }
  if (stage.type == "Whitespace") {
    return AddSplit(Regex::Compile(R"(\w+|[^\w\s]+)"), SplitBehavior::kRemoved, true, steps);
  }
  if (stage.type == "WhitespaceSplit") {
    return AddSplit(Regex::Compile(R"(\s)"), SplitBehavior::kRemoved, false, steps);
  }
  if (stage.type == "CharDelimiterSplit") {
    ASSIGN_OR_RETURN(const std::string text, StringField(*stage.json, "delimiter", stage.where));
    return AddSplit(Regex::Literal(text), SplitBehavior::kRemoved, false, steps);
  }
  if (stage.type == "BertPreTokenizer") {
    RETURN_IF_ERROR(AddSplit(Regex::Compile(R"(\s)"), SplitBehavior::kRemoved, false, steps));
    return AddSplit(Regex::Compile(kPunctuation), SplitBehavior::kIsolated, false, steps);
  }
  return UnsupportedStage(stage);
}

}  // namespace

absl::StatusOr<PreTokenizer> ReadPreTokenizer(const Json* json) {
  std::vector<Stage> stages;
  RETURN_IF_ERROR(FlattenStages(json, "pre_tokenizer", "pretokenizers", &stages));
  Steps steps;
  for (const Stage& stage : stages) RETURN_IF_ERROR(AddStage(stage, &steps));
  return PreTokenizer(std::move(steps));
}

}  // namespace tandem
