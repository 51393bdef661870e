#include "engine/tokenizer/jinja_methods.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

bool IsOneOf(std::initializer_list<absl::string_view> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What Python has and no template known to us calls.
bool IsUnsupportedMethod(const Value& value, absl::string_view name) {
  switch (value.kind()) {
    case Kind::kString:
      return IsOneOf({"casefold", "encode", "maketrans", "translate", "expandtabs"}, name);
    case Kind::kDict:
      return name == "fromkeys";
    case Kind::kBool:
    case Kind::kInt:
      return IsOneOf(
          {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes"},
          name);
    case Kind::kFloat:
      return IsOneOf({"as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer"}, name);
    default:
      return false;
  }
}

// Methods of Markup whose text arguments are escaped first (markupsafe's list).
bool EscapesArguments(absl::string_view name) {
  return IsOneOf({"capitalize", "title", "lower", "upper", "replace", "ljust", "rjust", "lstrip",
                  "rstrip", "center", "strip", "swapcase", "zfill", "removeprefix", "removesuffix",
                  "join", "format", "format_map"},
                 name);
}

bool ReturnsMarkup(absl::string_view name) {
  return EscapesArguments(name) ||
         IsOneOf({"split", "rsplit", "splitlines", "partition", "rpartition"}, name);
}

absl::StatusOr<Value> Escaped(Runtime& runtime, const Value& value) {
  if (value.is_markup() || value.is_number()) return value;
  if (value.is_sequence()) {
    std::vector<Value> items;
    for (const Value& item : value.items()) {
      ASSIGN_OR_RETURN(Value escaped, Escaped(runtime, item));
      items.push_back(std::move(escaped));
    }
    return Value::List(std::move(items));
  }
  ASSIGN_OR_RETURN(const std::string text, ToText(runtime, value));
  return Value::Markup(EscapeHtml(text));
}

Value AsMarkup(const Value& value) {
  if (value.is_string()) return Value::Markup(value.text());
  if (!value.is_sequence()) return value;
  std::vector<Value> items;
  std::transform(value.items().begin(), value.items().end(), std::back_inserter(items), AsMarkup);
  return value.is_list() ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

absl::StatusOr<Value> CallMarkupMethod(Runtime& runtime, absl::string_view name, Method method,
                                       const Value& self, Arguments arguments) {
  if (EscapesArguments(name)) {
    for (Value& value : arguments.positional) {
      ASSIGN_OR_RETURN(value, Escaped(runtime, value));
    }
    for (auto& [unused, value] : arguments.keyword) {
      ASSIGN_OR_RETURN(value, Escaped(runtime, value));
    }
  }
  ASSIGN_OR_RETURN(Value result, method(runtime, self, arguments));
  return ReturnsMarkup(name) ? AsMarkup(result) : result;
}

}  // namespace

std::optional<Value> FindMethod(const Value& value, absl::string_view name) {
  Method method = nullptr;
  if (value.is_string()) {
    method = FindStringMethod(name);
  } else if (value.is_sequence() || value.is_dict()) {
    method = FindContainerMethod(value.kind(), name);
  }
  const int depth = value.depth() + 1;
  if (method == nullptr) {
    if (!IsUnsupportedMethod(value, name)) return std::nullopt;
    return MakeFunction(std::string(name),
                        [type = TypeName(value), name = std::string(name)](
                            Runtime&, const Arguments&) -> absl::StatusOr<Value> {
                          return absl::UnimplementedError(absl::StrCat(
                              "the method '", name, "' of ", type, " is not supported"));
                        });
  }
  if (value.is_markup()) {
    return MakeFunction(
        std::string(name),
        [value, method, name = std::string(name)](Runtime& runtime, const Arguments& arguments) {
          return CallMarkupMethod(runtime, name, method, value, arguments);
        },
        depth);
  }
  return MakeFunction(
      std::string(name),
      [value, method](Runtime& runtime, const Arguments& arguments) {
        return method(runtime, value, arguments);
      },
      depth);
}

bool IsMutatingMethod(const Value& value, absl::string_view name) {
  if (value.is_dict()) {
    return IsOneOf({"clear", "pop", "popitem", "setdefault", "update"}, name);
  }
  return value.is_list() &&
         IsOneOf({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"}, name);
}

}  // namespace tandem::jinja
