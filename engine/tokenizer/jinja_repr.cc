#include "engine/tokenizer/jinja_repr.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

// Writes nested values into one text.
class ReprWriter {
 public:
  ReprWriter(Runtime& runtime, bool sort_keys, std::string* out)
      : runtime_(runtime), sort_keys_(sort_keys), out_(*out) {}

  absl::Status Write(const Value& value) {
    RETURN_IF_ERROR(runtime_.Charge(1));
    switch (value.kind()) {
      case Kind::kUndefined:
        out_ += "Undefined";
        break;
      case Kind::kNone:
        out_ += "None";
        break;
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat:
        out_ += NumberRepr(value);
        break;
      case Kind::kString:
        RETURN_IF_ERROR(runtime_.CheckText(out_.size() + value.text().size()));
        out_ += value.is_markup() ? absl::StrCat("Markup(", QuoteText(value.text()), ")")
                                  : QuoteText(value.text());
        break;
      case Kind::kList:
        return WriteItems('[', value.items(), ']');
      case Kind::kTuple:
        if (value.items().size() != 1) return WriteItems('(', value.items(), ')');
        out_ += '(';
        RETURN_IF_ERROR(Write(value.items()[0]));
        out_ += ",)";
        break;
      case Kind::kDict:
        return WriteDict(value.dict());
      case Kind::kObject:
        return WriteObject(*value.object(), value);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status WriteItems(char open, const std::vector<Value>& items, char close) {
    out_ += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      RETURN_IF_ERROR(Write(items[i]));
    }
    out_ += close;
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    const bool sortable = std::all_of(entries.begin(), entries.end(),
                                      [](const auto* entry) { return entry->first.is_string(); });
    if (sort_keys_ && sortable) {
      std::sort(entries.begin(), entries.end(),
                [](const auto* a, const auto* b) { return a->first.text() < b->first.text(); });
    }
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += ", ";
      RETURN_IF_ERROR(Write(entries[i]->first));
      out_ += ": ";
      RETURN_IF_ERROR(Write(entries[i]->second));
    }
    out_ += '}';
    return absl::OkStatus();
  }

  absl::Status WriteObject(Object& object, const Value& value) {
    const auto* view = dynamic_cast<DictView*>(&object);
    if (view == nullptr) {
      out_ += object.Repr();
      return absl::OkStatus();
    }
    std::vector<Value> items;
    for (size_t i = 0; i < view->dict().dict().size(); ++i) items.push_back(view->At(i));
    out_ += object.type_name();
    out_ += '(';
    RETURN_IF_ERROR(WriteItems('[', items, ']'));
    out_ += ')';
    return absl::OkStatus();
  }

  Runtime& runtime_;
  const bool sort_keys_;
  std::string& out_;
};

void AppendEscaped(char32_t c, char quote, std::string* out) {
  if (c == static_cast<char32_t>(quote) || c == '\\') {
    out->push_back('\\');
    out->push_back(static_cast<char>(c));
  } else if (c == '\n') {
    out->append("\\n");
  } else if (c == '\r') {
    out->append("\\r");
  } else if (c == '\t') {
    out->append("\\t");
  } else if (IsPrintable(c)) {
    AppendUtf8(c, out);
  } else if (c < 0x100) {
    absl::StrAppendFormat(out, "\\x%02x", static_cast<uint32_t>(c));
  } else if (c < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", static_cast<uint32_t>(c));
  } else {
    absl::StrAppendFormat(out, "\\U%08x", static_cast<uint32_t>(c));
  }
}

}  // namespace

absl::StatusOr<std::string> ToText(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.text();
  if (value.is_undefined()) return std::string();
  return Repr(runtime, value);
}

absl::StatusOr<std::string> Repr(Runtime& runtime, const Value& value, bool sort_keys) {
  std::string text;
  RETURN_IF_ERROR(ReprWriter(runtime, sort_keys, &text).Write(value));
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  return text;
}

std::string QuoteText(absl::string_view text) {
  const char quote = absl::StrContains(text, "'") && !absl::StrContains(text, "\"") ? '"' : '\'';
  std::string quoted(1, quote);
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    AppendEscaped(character.code_point, quote, &quoted);
    text.remove_prefix(character.num_bytes);
  }
  quoted.push_back(quote);
  return quoted;
}

std::string FloatRepr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  // The shortest digits that read back as the same number, as d[.ddd]e[+-]dd.
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific).ptr;
  const absl::string_view scientific(buffer, static_cast<size_t>(end - buffer));
  const size_t e = scientific.find('e');
  int exponent = 0;
  const char* exponent_begin = buffer + e + (buffer[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_begin, end, exponent);
  // Python writes an exponent below 1e-4 and from 1e16 on.
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  char fixed[40];
  const auto fixed_end =
      std::to_chars(fixed, fixed + sizeof(fixed), number, std::chars_format::fixed).ptr;
  std::string text(fixed, fixed_end);
  if (!absl::StrContains(text, ".")) text += ".0";
  return text;
}

std::string NumberRepr(const Value& number) {
  if (number.is_bool()) return number.boolean() ? "True" : "False";
  return number.is_int() ? IntegerToString(number.integer()) : FloatRepr(number.number());
}

}  // namespace tandem::jinja
