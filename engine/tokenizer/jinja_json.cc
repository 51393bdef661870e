#include "engine/tokenizer/jinja_json.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

void AppendUnicodeEscape(char32_t c, std::string* out) {
  if (c < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", static_cast<uint32_t>(c));
    return;
  }
  const uint32_t offset = c - 0x10000;
  absl::StrAppendFormat(out, "\\u%04x\\u%04x", 0xD800 + (offset >> 10), 0xDC00 + (offset & 0x3FF));
}

void AppendJsonCharacter(char32_t c, bool ensure_ascii, std::string* out) {
  static constexpr absl::string_view kShort = "\"\\\n\r\t\f\b";
  static constexpr absl::string_view kLetters = "\"\\nrtfb";
  const size_t found = c < 0x80 ? kShort.find(static_cast<char>(c)) : absl::string_view::npos;
  if (found != absl::string_view::npos) {
    out->push_back('\\');
    out->push_back(kLetters[found]);
  } else if (c < 0x20 || (ensure_ascii && c > 0x7E)) {
    AppendUnicodeEscape(c, out);
  } else {
    AppendUtf8(c, out);
  }
}

std::string JsonNumber(const Value& number) {
  if (number.is_bool()) return number.boolean() ? "true" : "false";
  const std::string text = NumberRepr(number);
  if (text == "nan") return "NaN";
  if (text == "inf") return "Infinity";
  return text == "-inf" ? "-Infinity" : text;
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style, std::string* out)
      : runtime_(runtime), style_(style), out_(*out) {}

  absl::Status Write(const Value& value, int level) {
    RETURN_IF_ERROR(runtime_.Charge(1));
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        return absl::OkStatus();
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat:
        out_ += JsonNumber(value);
        return absl::OkStatus();
      case Kind::kString:
        return WriteText(value.text());
      case Kind::kList:
      case Kind::kTuple:
        return WriteItems(value.items(), level);
      case Kind::kDict:
        return WriteDict(value.dict(), level);
      case Kind::kUndefined:
      case Kind::kObject:
        break;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("Object of type ", TypeName(value), " is not JSON serializable"));
  }

 private:
  absl::Status WriteText(absl::string_view text) {
    RETURN_IF_ERROR(runtime_.CheckText(out_.size() + text.size()));
    out_ += '"';
    while (!text.empty()) {
      const Utf8Character character = ReadUtf8(text);
      AppendJsonCharacter(character.code_point, style_.ensure_ascii, &out_);
      text.remove_prefix(character.num_bytes);
    }
    out_ += '"';
    return absl::OkStatus();
  }

  absl::Status NewLine(int level) {
    if (!style_.indent.has_value()) return absl::OkStatus();
    const size_t num_bytes = style_.indent->size() * static_cast<size_t>(level);
    RETURN_IF_ERROR(runtime_.CheckText(out_.size() + num_bytes));
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += *style_.indent;
    return absl::OkStatus();
  }

  absl::Status WriteItems(const std::vector<Value>& items, int level) {
    if (items.empty()) {
      out_ += "[]";
      return absl::OkStatus();
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      RETURN_IF_ERROR(NewLine(level + 1));
      RETURN_IF_ERROR(Write(items[i], level + 1));
    }
    RETURN_IF_ERROR(NewLine(level));
    out_ += ']';
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<const Dict::Entry*>> SortedEntries(const Dict& dict) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (!style_.sort_keys) return entries;
    absl::Status status;
    std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
      const absl::StatusOr<bool> less = IsLess(runtime_, a->first, b->first);
      status.Update(less.status());
      return less.ok() && *less;
    });
    RETURN_IF_ERROR(status);
    return entries;
  }

  absl::Status WriteKey(const Value& key) {
    if (key.is_string()) return WriteText(key.text());
    if (key.is_none()) return WriteText("null");
    if (key.is_number()) return WriteText(JsonNumber(key));
    return absl::InvalidArgumentError(
        absl::StrCat("keys must be str, int, float, bool or None, not ", TypeName(key)));
  }

  absl::Status WriteDict(const Dict& dict, int level) {
    if (dict.size() == 0) {
      out_ += "{}";
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const auto entries, SortedEntries(dict));
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      RETURN_IF_ERROR(NewLine(level + 1));
      RETURN_IF_ERROR(WriteKey(entries[i]->first));
      out_ += style_.key_separator;
      RETURN_IF_ERROR(Write(entries[i]->second, level + 1));
    }
    RETURN_IF_ERROR(NewLine(level));
    out_ += '}';
    return absl::OkStatus();
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string& out_;
};

absl::StatusOr<Value> FromJsonText(const std::string& text) {
  if (!IsValidUtf8(text)) return absl::InvalidArgumentError("a JSON text is not valid UTF-8");
  return Value::String(text);
}

absl::StatusOr<Value> FromJsonAtDepth(const nlohmann::ordered_json& json, int depth) {
  if (depth > kMaxValueDepth) {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON nests deeper than ", kMaxValueDepth, " levels"));
  }
  switch (json.type()) {
    case nlohmann::json::value_t::null:
      return Value();
    case nlohmann::json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case nlohmann::json::value_t::number_integer:
      return Value::Int(json.get<int64_t>());
    case nlohmann::json::value_t::number_unsigned:
      return Value::Int(json.get<uint64_t>());
    case nlohmann::json::value_t::number_float:
      return Value::Float(json.get<double>());
    case nlohmann::json::value_t::string:
      return FromJsonText(json.get_ref<const std::string&>());
    case nlohmann::json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) {
        ASSIGN_OR_RETURN(Value value, FromJsonAtDepth(item, depth + 1));
        items.push_back(std::move(value));
      }
      return Value::List(std::move(items));
    }
    case nlohmann::json::value_t::object: {
      Dict dict;
      for (const auto& [name, item] : json.items()) {
        ASSIGN_OR_RETURN(Value key, FromJsonText(name));
        ASSIGN_OR_RETURN(Value value, FromJsonAtDepth(item, depth + 1));
        RETURN_IF_ERROR(dict.Set(std::move(key), std::move(value)));
      }
      return Value::Mapping(std::move(dict));
    }
    default:
      return absl::InvalidArgumentError("a JSON value is neither data nor text");
  }
}

}  // namespace

absl::StatusOr<std::string> ToJson(Runtime& runtime, const Value& value, const JsonStyle& style) {
  std::string text;
  RETURN_IF_ERROR(JsonWriter(runtime, style, &text).Write(value, 0));
  RETURN_IF_ERROR(runtime.ChargeText(text.size()));
  return text;
}

absl::StatusOr<Value> FromJson(const nlohmann::ordered_json& json) {
  return FromJsonAtDepth(json, 1);
}

}  // namespace tandem::jinja
