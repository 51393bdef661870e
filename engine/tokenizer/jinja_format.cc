#include "engine/tokenizer/jinja_format.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_format_spec.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

absl::Status Malformed(absl::string_view what) { return absl::InvalidArgumentError(what); }

// True for a run of ASCII digits.
bool ParseIndex(absl::string_view text, int64_t* index) {
  return !text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos &&
         absl::SimpleAtoi(text, index);
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments)
      : runtime_(runtime), arguments_(arguments) {}

  // Fields may hold fields in their specification, to the depth that Python allows.
  absl::StatusOr<std::string> Format(absl::string_view format, int depth) {
    if (depth > kMaxDepth) return Malformed("Max string recursion exceeded");
    std::string out;
    while (!format.empty()) {
      const size_t brace = std::min(format.find_first_of("{}"), format.size());
      absl::StrAppend(&out, format.substr(0, brace));
      format.remove_prefix(brace);
      if (format.empty()) break;
      if (format.size() > 1 && format[1] == format[0]) {
        out.push_back(format[0]);
        format.remove_prefix(2);
        continue;
      }
      if (format[0] == '}') return Malformed("Single '}' encountered in format string");
      ASSIGN_OR_RETURN(const absl::string_view field, TakeField(&format));
      ASSIGN_OR_RETURN(const std::string text, FormatField(field, depth));
      out += text;
      RETURN_IF_ERROR(runtime_.CheckText(out.size()));
    }
    RETURN_IF_ERROR(runtime_.ChargeText(out.size()));
    return out;
  }

 private:
  // The inside of the braces at the start of `*format`.
  static absl::StatusOr<absl::string_view> TakeField(absl::string_view* format) {
    int open = 0;
    for (size_t i = 0; i < format->size(); ++i) {
      if ((*format)[i] == '{') ++open;
      if ((*format)[i] == '}' && --open == 0) {
        const absl::string_view field = format->substr(1, i - 1);
        format->remove_prefix(i + 1);
        return field;
      }
    }
    return Malformed("expected '}' before end of string");
  }

  absl::StatusOr<std::string> FormatField(absl::string_view field, int depth) {
    RETURN_IF_ERROR(runtime_.Charge(1));
    // A '!' or ':' inside brackets belongs to the key.
    size_t name_end = 0;
    for (bool bracket = false; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (c == '[') bracket = true;
      if (c == ']') bracket = false;
      if (!bracket && (c == '!' || c == ':')) break;
    }
    ASSIGN_OR_RETURN(Value value, FindValue(field.substr(0, name_end)));
    absl::string_view rest = field.substr(name_end);
    if (!rest.empty() && rest[0] == '!') {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        return Malformed("expected ':' after conversion specifier");
      }
      ASSIGN_OR_RETURN(value, Convert(value, rest[1]));
      rest.remove_prefix(2);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    ASSIGN_OR_RETURN(const std::string spec, Format(rest, depth + 1));
    return FormatValue(runtime_, value, spec);
  }

  absl::StatusOr<Value> Convert(const Value& value, char conversion) {
    if (conversion != 'r' && conversion != 's') {
      return Malformed(absl::StrCat("Unknown conversion specifier ", std::string(1, conversion)));
    }
    ASSIGN_OR_RETURN(std::string text,
                     conversion == 'r' ? Repr(runtime_, value) : ToText(runtime_, value));
    return Value::String(std::move(text));
  }

  absl::StatusOr<Value> FindValue(absl::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    ASSIGN_OR_RETURN(Value value, FindArgument(name.substr(0, first_end)));
    name.remove_prefix(first_end);
    while (!name.empty()) {
      const bool attribute = name[0] == '.';
      const size_t end =
          attribute ? std::min(name.find_first_of(".[", 1), name.size()) : name.find(']');
      if (end == absl::string_view::npos) return Malformed("Missing ']' in format string");
      const absl::string_view key = name.substr(1, end - 1);
      if (key.empty()) return Malformed("Empty attribute in format string");
      int64_t index = 0;
      if (attribute) {
        ASSIGN_OR_RETURN(value, GetAttribute(value, key));
      } else {
        ASSIGN_OR_RETURN(value, GetItem(value, ParseIndex(key, &index) ? Value::Int(index)
                                                                       : Value::String(key)));
      }
      name.remove_prefix(attribute ? end : end + 1);
      if (!name.empty() && name[0] != '.' && name[0] != '[') {
        return Malformed("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  absl::StatusOr<Value> FindArgument(absl::string_view name) {
    int64_t index = 0;
    if (name.empty()) {
      if (numbering_ == Numbering::kManual) return Malformed(kMixedNumbering);
      numbering_ = Numbering::kAutomatic;
      index = next_index_++;
    } else if (ParseIndex(name, &index)) {
      if (numbering_ == Numbering::kAutomatic) return Malformed(kMixedNumbering);
      numbering_ = Numbering::kManual;
    } else {
      for (const auto& [keyword, value] : arguments_.keyword) {
        if (keyword == name) return value;
      }
      return Malformed(absl::StrCat("format() has no argument '", name, "'"));
    }
    if (index >= static_cast<int64_t>(arguments_.positional.size())) {
      return Malformed(
          absl::StrCat("Replacement index ", index, " out of range for positional args tuple"));
    }
    return arguments_.positional[static_cast<size_t>(index)];
  }

  static constexpr int kMaxDepth = 3;

  enum class Numbering { kUndecided, kAutomatic, kManual };
  static constexpr absl::string_view kMixedNumbering =
      "cannot switch between manual field specification and automatic field numbering";

  Runtime& runtime_;
  const Arguments& arguments_;
  Numbering numbering_ = Numbering::kUndecided;
  int64_t next_index_ = 0;
};

}  // namespace

absl::StatusOr<std::string> FormatBraces(Runtime& runtime, absl::string_view format,
                                         const Arguments& arguments) {
  return BraceFormatter(runtime, arguments).Format(format, 1);
}

}  // namespace tandem::jinja
