#include "engine/tokenizer/regex.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/regex_dialect.h"

namespace tandem {
namespace {

// One match of a pre-tokeniser over a run of 1 MiB of spaces backtracks about 2^20 times; beyond 32
// times that, a pattern is exponential rather than the text long.
constexpr uint32_t kMatchLimit = 32u << 20;
// The interpreter's backtracking memory (KiB), used only where the JIT's stack of 32 KiB is full.
constexpr uint32_t kHeapLimitKib = 256u << 10;

constexpr uint32_t kMatchOptions = PCRE2_NO_UTF_CHECK;

struct MatchState {
  explicit MatchState(const pcre2_code* code)
      : context(pcre2_match_context_create(nullptr)),
        data(pcre2_match_data_create_from_pattern(code, nullptr)) {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimitKib);
  }
  ~MatchState() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;

  pcre2_match_context* context;
  pcre2_match_data* data;
};

std::string ErrorText(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof(text));
  return reinterpret_cast<const char*>(text);
}

// pcre2_match: the number of captures, or a negative code. The JIT keeps its backtracking on a
// small stack; where that is full the interpreter, which uses the heap, takes over.
int MatchOnce(const pcre2_code* code, absl::string_view text, size_t start, MatchState* state) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int result =
      pcre2_match(code, subject, text.size(), start, kMatchOptions, state->data, state->context);
  if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
  return pcre2_match(code, subject, text.size(), start, kMatchOptions | PCRE2_NO_JIT, state->data,
                     state->context);
}

size_t NextCharacter(absl::string_view text, size_t position) {
  ++position;
  while (position < text.size() && (static_cast<uint8_t>(text[position]) & 0xC0) == 0x80) {
    ++position;
  }
  return position;
}

}  // namespace

void Regex::CodeDeleter::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<Regex> Regex::Compile(absl::string_view pattern) {
  ASSIGN_OR_RETURN(const std::string translated, TranslateRegex(pattern));
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  // Ruby's ^ and $ always match at line ends.
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &error_offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("regular expression ", pattern, ": ",
                                                   ErrorText(error), " at byte ", error_offset,
                                                   " of ", translated));
  }
  // Without a JIT on this machine the interpreter matches; that is not an error.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(std::string(pattern), std::unique_ptr<pcre2_real_code_8, CodeDeleter>(code));
}

absl::StatusOr<Regex> Regex::Literal(absl::string_view text) {
  // \E cannot be quoted inside \Q..\E, so it is spelled outside.
  return Compile(absl::StrCat("\\Q", absl::StrReplaceAll(text, {{"\\E", "\\E\\\\E\\Q"}}), "\\E"));
}

absl::StatusOr<std::vector<TextRange>> Regex::FindAll(absl::string_view text) const {
  std::vector<TextRange> matches;
  MatchState state(code_.get());
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state.data);
  for (size_t start = 0; start < text.size();) {
    const int result = MatchOnce(code_.get(), text, start, &state);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return absl::ResourceExhaustedError(absl::StrCat("regular expression ", pattern_, " at byte ",
                                                       start, " of a text of ", text.size(),
                                                       " bytes: ", ErrorText(result)));
    }
    // \K inside a lookahead may report an end before the begin; such a match is an empty one.
    const TextRange match{.begin = std::min(bounds[0], bounds[1]), .end = bounds[1]};
    const bool repeats =
        match.begin == match.end && !matches.empty() && matches.back().end >= match.end;
    if (repeats) {
      start = NextCharacter(text, start);
    } else {
      matches.push_back(match);
      start = match.end;
    }
  }
  return matches;
}

}  // namespace tandem
