#include "engine/tokenizer/jinja_filters.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_text.h"

namespace tandem::jinja {
namespace {

// Filters of Jinja for HTML pages and people, which no prompt has a use for.
constexpr absl::string_view kUnsupported[] = {"filesizeformat", "random",   "striptags",
                                              "urlize",         "wordwrap", "xmlattr"};

bool IsUnsupported(absl::string_view name) {
  return std::find(std::begin(kUnsupported), std::end(kUnsupported), name) !=
         std::end(kUnsupported);
}

Filter FindFilter(absl::string_view name) {
  for (const auto find :
       {FindTextFilter, FindScalarFilter, FindSequenceFilter, FindOrderFilter, FindSelectFilter}) {
    if (const Filter filter = find(name); filter != nullptr) return filter;
  }
  return nullptr;
}

}  // namespace

bool IsKnownFilter(absl::string_view name) {
  return FindFilter(name) != nullptr || IsUnsupported(name);
}

absl::StatusOr<Value> CallFilter(Runtime& runtime, absl::string_view name, const Value& input,
                                 const Arguments& arguments) {
  const Filter filter = FindFilter(name);
  if (filter != nullptr) return filter(runtime, input, arguments);
  if (IsUnsupported(name)) {
    return absl::UnimplementedError(absl::StrCat("the filter '", name, "' is not supported"));
  }
  return absl::InvalidArgumentError(absl::StrCat("No filter named '", name, "' found."));
}

absl::StatusOr<AttributePath> AttributePath::Parse(const Value* path) {
  AttributePath result;
  if (path == nullptr || path->is_none()) return result;
  if (!path->is_string()) {
    result.parts_.push_back(*path);
    return result;
  }
  for (const absl::string_view part : absl::StrSplit(path->text(), '.')) {
    int64_t index = 0;
    const bool is_index = !part.empty() && AllOf(part, IsDigit) && absl::SimpleAtoi(part, &index);
    result.parts_.push_back(is_index ? Value::Int(index) : Value::String(part));
  }
  return result;
}

absl::StatusOr<Value> AttributePath::Get(const Value& item, const Value* fallback) const {
  Value value = item;
  for (const Value& part : parts_) {
    ASSIGN_OR_RETURN(value, GetItem(value, part));
    if (fallback != nullptr && !fallback->is_none() && value.is_undefined()) value = *fallback;
  }
  return value;
}

Value IgnoreCase(const Value& value) {
  return value.is_string() ? Value::String(ToLower(value.text())) : value;
}

}  // namespace tandem::jinja
