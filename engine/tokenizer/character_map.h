// The character map of SentencePiece ("precompiled_charsmap"): the longest prefix of the text that
// the map knows is replaced, again and again (Kudo and Richardson 2018, "SentencePiece", section
// 3.2). The map is a double-array trie (32-bit units of darts-clone) and a pool of replacements.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Immutable and thread-safe.
class CharacterMap {
 public:
  // `blob`: uint32 size of the trie in bytes, the trie, the replacements, each ended by a NUL.
  // INVALID_ARGUMENT where the sizes do not fit. A trie that points outside itself is not refused:
  // what it points at does not match.
  static absl::StatusOr<CharacterMap> Parse(absl::string_view blob);

  // `text` (valid UTF-8) with every known sequence replaced.
  std::string Apply(absl::string_view text) const;

 private:
  struct Match {
    size_t num_bytes = 0;  // 0: none.
    absl::string_view replacement;
  };
  Match FindLongest(absl::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // Ends with a NUL.
};

}  // namespace tandem
