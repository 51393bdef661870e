// Regular expressions of tokenizers, run by PCRE2 with full Unicode classes. Patterns are written
// in the dialect of Hugging Face tokenizers (Oniguruma, Ruby syntax); regex_dialect.h translates.
//
//   ASSIGN_OR_RETURN(const Regex regex, Regex::Compile(R"(\p{N}{1,3})"));
//   ASSIGN_OR_RETURN(const std::vector<TextRange> numbers, regex.FindAll("12345 67"));
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct pcre2_real_code_8;  // PCRE2's compiled pattern.

namespace tandem {

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;

  absl::string_view Of(absl::string_view text) const { return text.substr(begin, end - begin); }
};

// A compiled pattern. Movable; matching is thread-safe.
class Regex {
 public:
  // INVALID_ARGUMENT names the pattern, the position and the reason.
  static absl::StatusOr<Regex> Compile(absl::string_view pattern);

  // A pattern that matches exactly `text`.
  static absl::StatusOr<Regex> Literal(absl::string_view text);

  Regex(Regex&&) = default;
  Regex& operator=(Regex&&) = default;

  // All matches in `text` (valid UTF-8), left to right, not overlapping; an empty match does not
  // touch the one before it. RESOURCE_EXHAUSTED where a match needs millions of steps.
  absl::StatusOr<std::vector<TextRange>> FindAll(absl::string_view text) const;

 private:
  struct CodeDeleter {
    void operator()(pcre2_real_code_8* code) const;
  };

  Regex(std::string pattern, std::unique_ptr<pcre2_real_code_8, CodeDeleter> code)
      : pattern_(std::move(pattern)), code_(std::move(code)) {}

  std::string pattern_;
  std::unique_ptr<pcre2_real_code_8, CodeDeleter> code_;
};

}  // namespace tandem
