#include "engine/tokenizer/jinja_access.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_methods.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"
#include "engine/tokenizer/jinja_text.h"

namespace tandem::jinja {
namespace {

Value NoAttribute(const Value& object, absl::string_view name) {
  return Value::Undefined(
      absl::StrCat("'", DescribeType(object), "' has no attribute '", name, "'"));
}

Value Unsafe(const Value& object, absl::string_view name) {
  return Value::Undefined(absl::StrCat("access to attribute '", name, "' of '", TypeName(object),
                                       "' object is unsafe."));
}

// The item at a position counted from either end; nullopt out of range.
std::optional<Value> ItemAt(const Value& object, Integer index) {
  const auto resolve = [&index](size_t size) {
    if (index < 0) index += static_cast<Integer>(size);
    return index >= 0 && index < static_cast<Integer>(size);
  };
  if (object.is_sequence()) {
    if (!resolve(object.items().size())) return std::nullopt;
    return object.items()[static_cast<size_t>(index)];
  }
  if (object.is_string()) {
    const std::string& text = object.text();
    if (!resolve(CountCodePoints(text))) return std::nullopt;
    const size_t begin = OffsetOfCodePoint(text, static_cast<size_t>(index));
    const absl::string_view rest = absl::string_view(text).substr(begin);
    const absl::string_view character = rest.substr(0, OffsetOfCodePoint(rest, 1));
    return object.is_markup() ? Value::Markup(std::string(character)) : Value::String(character);
  }
  if (const Range* range = ObjectCast<Range>(object); range != nullptr) {
    if (!resolve(static_cast<size_t>(range->length()))) return std::nullopt;
    return Value::Int(range->At(static_cast<int64_t>(index)));
  }
  return std::nullopt;
}

// object[key] alone; nullopt where Python raises TypeError or LookupError.
std::optional<Value> FindItem(const Value& object, const Value& key) {
  if (object.is_dict()) {
    const absl::StatusOr<const Value*> found = object.dict().Find(key);
    if (!found.ok() || *found == nullptr) return std::nullopt;
    return **found;
  }
  return key.is_integral() ? ItemAt(object, key.integer()) : std::nullopt;
}

// Positions that a slice selects: slice.indices() of Python.
struct SliceRange {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
  int64_t count = 0;
};

absl::StatusOr<std::optional<Integer>> SliceBound(const Value& bound) {
  if (bound.is_none()) return std::nullopt;
  if (bound.is_integral()) return bound.integer();
  RETURN_IF_ERROR(CheckDefined(bound));
  return absl::InvalidArgumentError("slice indices must be integers or None");
}

absl::StatusOr<SliceRange> ResolveSlice(int64_t length, const Value& start_value,
                                        const Value& stop_value, const Value& step_value) {
  ASSIGN_OR_RETURN(std::optional<Integer> start, SliceBound(start_value));
  ASSIGN_OR_RETURN(std::optional<Integer> stop, SliceBound(stop_value));
  ASSIGN_OR_RETURN(const std::optional<Integer> given_step, SliceBound(step_value));
  // No text or list is longer than this, so a longer step is as good as this one.
  constexpr Integer kLongestStep = std::numeric_limits<int32_t>::max();
  const Integer step = std::clamp(given_step.value_or(1), -kLongestStep, kLongestStep);
  if (step == 0) return absl::InvalidArgumentError("slice step cannot be zero");
  const Integer lowest = step > 0 ? 0 : -1;
  const Integer highest = step > 0 ? length : length - 1;
  const auto clamp = [&](const std::optional<Integer>& bound, Integer fallback) {
    if (!bound.has_value()) return fallback;
    return std::clamp(*bound < 0 ? *bound + length : *bound, lowest, highest);
  };
  const Integer from = clamp(start, step > 0 ? lowest : highest);
  const Integer to = clamp(stop, step > 0 ? highest : lowest);
  const Range range(from, to, step);
  return SliceRange{static_cast<int64_t>(from), static_cast<int64_t>(to),
                    static_cast<int64_t>(step), range.length()};
}

std::string SliceText(const std::string& text, const SliceRange& slice) {
  if (slice.step == 1) {
    const size_t begin = OffsetOfCodePoint(text, static_cast<size_t>(slice.start));
    const absl::string_view rest = absl::string_view(text).substr(begin);
    return std::string(rest.substr(0, OffsetOfCodePoint(rest, static_cast<size_t>(slice.count))));
  }
  const std::vector<absl::string_view> characters = SplitCodePoints(text);
  std::string result;
  for (int64_t i = 0; i < slice.count; ++i) {
    absl::StrAppend(&result, characters[static_cast<size_t>(slice.start + i * slice.step)]);
  }
  return result;
}

// Walks the items of a value that it keeps alive.
class ValueIterator : public Iterator {
 public:
  explicit ValueIterator(Value value) : value_(std::move(value)) {}

  absl::StatusOr<std::optional<Value>> Next() override {
    if (value_.is_sequence()) {
      if (position_ == value_.items().size()) return std::nullopt;
      return value_.items()[position_++];
    }
    if (value_.is_dict()) {
      if (position_ == value_.dict().size()) return std::nullopt;
      return value_.dict().entries()[position_++].first;
    }
    if (!value_.is_string() || position_ == value_.text().size()) return std::nullopt;
    const absl::string_view rest = absl::string_view(value_.text()).substr(position_);
    const absl::string_view character = rest.substr(0, OffsetOfCodePoint(rest, 1));
    position_ += character.size();
    return Value::String(character);  // of Markup too
  }

 private:
  Value value_;
  size_t position_ = 0;
};

}  // namespace

absl::StatusOr<std::optional<Value>> FindAttribute(const Value& object, absl::string_view name) {
  RETURN_IF_ERROR(CheckDefined(object));
  if (object.is_object()) {
    if (absl::StartsWith(name, "_")) return Unsafe(object, name);
    return object.object()->Attribute(object, name);
  }
  if (object.is_tuple() && object.sequence().is_group) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  if (IsMutatingMethod(object, name)) return Unsafe(object, name);
  return FindMethod(object, name);
}

absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name) {
  ASSIGN_OR_RETURN(std::optional<Value> attribute, FindAttribute(object, name));
  if (attribute.has_value()) return *std::move(attribute);
  if (object.is_dict()) {
    const Value* item = object.dict().Find(name);
    if (item != nullptr) return *item;
  }
  return absl::StartsWith(name, "__") ? Unsafe(object, name) : NoAttribute(object, name);
}

absl::StatusOr<Value> GetItem(const Value& object, const Value& key) {
  RETURN_IF_ERROR(CheckDefined(object));
  if (std::optional<Value> item = FindItem(object, key); item.has_value()) return *std::move(item);
  if (key.is_string()) {
    ASSIGN_OR_RETURN(std::optional<Value> attribute, FindAttribute(object, key.text()));
    return attribute.has_value() ? *std::move(attribute) : NoAttribute(object, key.text());
  }
  // A key is described by its kind alone where its repr could be long.
  const std::string name = key.is_number() ? NumberRepr(key) : TypeName(key);
  return Value::Undefined(absl::StrCat(DescribeType(object), " has no element ", name));
}

absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                               const Value& stop, const Value& step) {
  RETURN_IF_ERROR(CheckDefined(object));
  const Range* range = ObjectCast<Range>(object);
  if (!object.is_string() && !object.is_sequence() && range == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", TypeName(object), "' object cannot be sliced"));
  }
  ASSIGN_OR_RETURN(const std::optional<int64_t> length, GetLength(object));
  ASSIGN_OR_RETURN(const SliceRange slice, ResolveSlice(*length, start, stop, step));
  RETURN_IF_ERROR(runtime.Charge(object.is_string() ? slice.count / 16 : slice.count));
  if (object.is_string()) {
    std::string text = SliceText(object.text(), slice);
    return object.is_markup() ? Value::Markup(std::move(text)) : Value::String(std::move(text));
  }
  if (range != nullptr) {
    return Value::FromObject(std::make_shared<Range>(range->At(slice.start), range->At(slice.stop),
                                                     range->step() * slice.step));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(slice.count));
  for (int64_t i = 0; i < slice.count; ++i) {
    items.push_back(object.items()[static_cast<size_t>(slice.start + i * slice.step)]);
  }
  return object.is_list() ? Value::List(std::move(items)) : Value::Tuple(std::move(items));
}

bool IsIterable(const Value& value) {
  if (value.is_object()) return value.object()->Iterate() != nullptr;
  return value.is_undefined() || value.is_string() || value.is_sequence() || value.is_dict();
}

absl::StatusOr<std::shared_ptr<Iterator>> Iterate(const Value& value) {
  if (value.is_object()) {
    std::shared_ptr<Iterator> iterator = value.object()->Iterate();
    if (iterator != nullptr) return iterator;
  } else if (IsIterable(value)) {
    return std::make_shared<ValueIterator>(value);
  }
  return absl::InvalidArgumentError(absl::StrCat("'", TypeName(value), "' object is not iterable"));
}

absl::StatusOr<std::vector<Value>> ToVector(Runtime& runtime, const Value& value) {
  if (value.is_sequence()) {
    RETURN_IF_ERROR(runtime.Charge(static_cast<int64_t>(value.items().size())));
    return value.items();
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(value));
  std::vector<Value> items;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<Value> item, iterator->Next());
    if (!item.has_value()) return items;
    RETURN_IF_ERROR(runtime.Charge(2));  // The item, and what it may be made of.
    items.push_back(*std::move(item));
  }
}

absl::StatusOr<std::optional<int64_t>> GetLength(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(CountCodePoints(value.text()));
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().size());
    case Kind::kObject:
      return value.object()->Length();
    default:
      return std::nullopt;
  }
}

absl::StatusOr<std::vector<Value>> Reversed(Runtime& runtime, const Value& value) {
  const bool reversible = !value.is_object() || ObjectCast<Range>(value) != nullptr ||
                          ObjectCast<DictView>(value) != nullptr;
  if (!reversible || !IsIterable(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", TypeName(value), "' object is not reversible"));
  }
  ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(runtime, value));
  std::reverse(items.begin(), items.end());
  return items;
}

}  // namespace tandem::jinja
