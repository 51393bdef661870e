// The second stage of tokenising: normalised text -> pieces that no token crosses.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/regex.h"

namespace tandem {

// What becomes of a match when a piece is split at the matches of a pattern.
enum class SplitBehavior {
  kIsolated,            // A piece of its own.
  kRemoved,             // Dropped.
  kMergedWithPrevious,  // Ends the piece before it.
  kMergedWithNext,      // Begins the piece after it.
  kContiguous,          // Neighbouring matches form one piece.
};

struct SplitStep {
  Regex pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // What lies between the matches is the match.
};
struct PrefixSpaceStep {};  // A space before each piece that does not begin with one.
struct ByteLevelStep {};    // Each piece in the byte alphabet, see byte_level.h.

// Spaces become `replacement`, and the text gets one in front unless it has one there.
struct MetaspaceStep {
  enum class Prepend { kAlways, kFirst, kNever };

  std::string replacement;             // U+2581 as a rule.
  Prepend prepend = Prepend::kAlways;  // kFirst: only where the whole text begins.
};

using PreTokenizerStep = std::variant<SplitStep, PrefixSpaceStep, ByteLevelStep, MetaspaceStep>;

// Immutable and thread-safe.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // The text is one piece.
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  // Pieces of `text` (valid UTF-8), none empty. `at_start`: nothing precedes `text` in what is
  // being tokenised. Fails as Regex::FindAll does.
  absl::StatusOr<std::vector<std::string>> Split(std::string text, bool at_start) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace tandem
