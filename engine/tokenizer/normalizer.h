// The first stage of tokenising: text -> text, before it is cut into pieces.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/character_map.h"
#include "engine/tokenizer/regex.h"
#include "engine/tokenizer/unicode.h"

namespace tandem {

struct LowercaseStep {};
struct StripAccentsStep {};  // Drops every combining mark.
struct StripStep {
  bool left = true;
  bool right = true;
};
struct PrependStep {  // Not before an empty text.
  std::string text;
};
struct ReplaceStep {
  Regex pattern;
  std::string replacement;
};

using NormalizerStep = std::variant<UnicodeForm, LowercaseStep, StripAccentsStep, StripStep,
                                    PrependStep, ReplaceStep, CharacterMap>;

// Immutable and thread-safe.
class Normalizer {
 public:
  Normalizer() = default;  // Changes nothing.
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  // `text` (valid UTF-8) after every step. Fails as Regex::FindAll does.
  absl::StatusOr<std::string> Apply(absl::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace tandem
