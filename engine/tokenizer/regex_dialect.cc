#include "engine/tokenizer/regex_dialect.h"

#include <cstddef>
#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr absl::string_view kWordClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

bool IsScript(absl::string_view name) {
  const std::string probe = absl::StrCat("\\p{sc:", name, "}");
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(probe.data()), probe.size(),
                                   PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

// One pass over the pattern. `atom_` is where in `out_` the last quantifiable item begins.
class Translator {
 public:
  explicit Translator(absl::string_view pattern) : pattern_(pattern), rest_(pattern) {}

  absl::StatusOr<std::string> Translate() {
    while (!rest_.empty()) {
      if (absl::StartsWith(rest_, "\\Q")) {
        TakeLiteral();
      } else if (rest_[0] == '[') {
        atom_ = out_.size();
        RETURN_IF_ERROR(TakeClass());
      } else if (rest_[0] == '{' && TakeInterval()) {
        continue;
      } else {
        TakeItem();
      }
    }
    return std::move(out_);
  }

 private:
  absl::string_view Take(size_t size) {
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  void Copy(size_t size) { absl::StrAppend(&out_, Take(size)); }

  absl::Status Unsupported(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("regular expression ", pattern_, ": ", what,
                                                   " at byte ", pattern_.size() - rest_.size(),
                                                   " is not supported"));
  }

  void TakeLiteral() {
    atom_ = out_.size();
    const size_t end = rest_.find("\\E");
    Copy(end == absl::string_view::npos ? rest_.size() : end + 2);
  }

  // Anything but a class, an interval or a quoted text.
  void TakeItem() {
    const char c = rest_[0];
    if (c == '(') {
      groups_.push_back(out_.size());
      Copy(1);
      return;
    }
    if (c == ')' && !groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
    } else if (c != '*' && c != '+' && c != '?') {
      atom_ = out_.size();
    }
    c == '\\' ? TakeEscape(/*in_class=*/false) : Copy(1);
  }

  // "{n,m}", with the "+" that Ruby reads as one more repetition. False: a brace as such.
  bool TakeInterval() {
    const size_t end = rest_.find_first_not_of("0123456789,", 1);
    if (end == 1 || end == absl::string_view::npos || rest_[end] != '}') return false;
    Copy(end + 1);
    if (absl::ConsumePrefix(&rest_, "+")) {
      out_.insert(atom_, "(?:");
      absl::StrAppend(&out_, ")+");
    }
    return true;
  }

  absl::Status TakeClass() {
    Copy(absl::StartsWith(rest_, "[^") ? 2 : 1);
    if (absl::StartsWith(rest_, "]")) Copy(1);
    while (!rest_.empty() && rest_[0] != ']') {
      if (absl::StartsWith(rest_, "&&")) return Unsupported("an intersection of classes");
      if (absl::StartsWith(rest_, "[:")) {
        const size_t end = rest_.find(":]");
        Copy(end == absl::string_view::npos ? rest_.size() : end + 2);
      } else if (rest_[0] == '[') {
        return Unsupported("a class within a class");
      } else if (rest_[0] == '\\') {
        TakeEscape(/*in_class=*/true);
      } else {
        Copy(1);
      }
    }
    Copy(1);
    return absl::OkStatus();
  }

  void TakeEscape(bool in_class) {
    const char c = rest_.size() > 1 ? rest_[1] : '\0';
    if ((c == 'p' || c == 'P') && TakeProperty()) return;
    absl::string_view meaning;
    if (c == 's') meaning = R"(\p{White_Space})";
    if (c == 'S') meaning = R"(\P{White_Space})";
    if (c == 'h') meaning = in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    if (c == 'w' && in_class) meaning = kWordClass;
    const bool is_word = (c == 'w' || c == 'W') && !in_class;  // [\W] stays PCRE2's.
    if (meaning.empty() && !is_word) return Copy(EscapeSize());
    Take(2);
    if (is_word) {
      absl::StrAppend(&out_, c == 'w' ? "[" : "[^", kWordClass, "]");
    } else {
      absl::StrAppend(&out_, meaning);
    }
  }

  // Bytes of the escape at the start of rest_: "\d", "\x{1F}", "\p{L}".
  size_t EscapeSize() const {
    const size_t end = rest_.size() > 2 && rest_[2] == '{' ? rest_.find('}') : 1;
    return end == absl::string_view::npos ? 2 : end + 1;
  }

  // \p{Script}: PCRE2 would match the script's extensions too.
  bool TakeProperty() {
    const size_t end = rest_.find('}');
    if (rest_.size() < 4 || rest_[2] != '{' || end == absl::string_view::npos) return false;
    absl::string_view name = rest_.substr(3, end - 3);
    const bool negated = absl::ConsumePrefix(&name, "^");
    if (name.size() < 3 || !IsScript(name)) return false;
    absl::StrAppend(&out_, rest_.substr(0, 2), "{", negated ? "^" : "", "sc:", name, "}");
    Take(end + 1);
    return true;
  }

  const absl::string_view pattern_;
  absl::string_view rest_;
  std::string out_;
  size_t atom_ = 0;
  std::vector<size_t> groups_;  // Where in `out_` each open group begins.
};

}  // namespace

absl::StatusOr<std::string> TranslateRegex(absl::string_view pattern) {
  return Translator(pattern).Translate();
}

}  // namespace tandem
