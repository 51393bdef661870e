// Filters that take values apart and put them together.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

// A generator that makes its items when the first is asked for, as Python's do: what is wrong shows
// only then. `depth`: that of the values that `make_items` holds.
Value DeferredGenerator(int depth, std::function<absl::StatusOr<std::vector<Value>>()> make_items) {
  return MakeGenerator(
      [make_items = std::move(make_items), items = std::optional<std::vector<Value>>(),
       index = size_t{0}]() mutable -> absl::StatusOr<std::optional<Value>> {
        if (!items.has_value()) {
          ASSIGN_OR_RETURN(items, make_items());
        }
        if (index == items->size()) return std::nullopt;
        return (*items)[index++];
      },
      depth);
}

absl::StatusOr<Value> First(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("first", arguments));
  ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(input));
  ASSIGN_OR_RETURN(std::optional<Value> item, iterator->Next());
  if (item.has_value()) return *std::move(item);
  return Value::Undefined("No first item, sequence was empty.");
}

absl::StatusOr<Value> Last(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("last", arguments));
  if (input.is_sequence() && !input.items().empty()) return input.items().back();
  ASSIGN_OR_RETURN(const std::vector<Value> items, Reversed(runtime, input));
  if (!items.empty()) return items[0];
  return Value::Undefined("No last item, sequence was empty.");
}

absl::StatusOr<Value> Length(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("length", arguments));
  if (input.is_string()) RETURN_IF_ERROR(runtime.ChargeText(input.text().size()));
  ASSIGN_OR_RETURN(const std::optional<int64_t> length, GetLength(input));
  if (length.has_value()) return Value::Int(*length);
  return absl::InvalidArgumentError(
      absl::StrCat("object of type '", TypeName(input), "' has no len()"));
}

absl::StatusOr<Value> List(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("list", arguments));
  ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(runtime, input));
  return Value::List(std::move(items));
}

absl::StatusOr<Value> Items(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("items", arguments));
  return DeferredGenerator(
      input.depth(), [&runtime, input]() -> absl::StatusOr<std::vector<Value>> {
        if (input.is_undefined()) return std::vector<Value>();
        if (!input.is_dict()) {
          return absl::InvalidArgumentError("Can only get item pairs from a mapping.");
        }
        return ToVector(
            runtime, Value::FromObject(std::make_shared<DictView>(input, DictView::Part::kItems)));
      });
}

absl::StatusOr<Value> JoinItems(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("join", {"d", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(bound[1]));
  std::string separator;
  if (bound.Has(0)) {
    ASSIGN_OR_RETURN(separator, ToText(runtime, *bound[0]));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(input));
  std::string joined;
  for (bool first = true;; first = false) {
    ASSIGN_OR_RETURN(const std::optional<Value> item, iterator->Next());
    if (!item.has_value()) break;
    RETURN_IF_ERROR(runtime.Charge(1));
    ASSIGN_OR_RETURN(const Value part, path.Get(*item));
    ASSIGN_OR_RETURN(const std::string text, ToText(runtime, part));
    if (!first) joined += separator;
    joined += text;
    RETURN_IF_ERROR(runtime.CheckText(joined.size()));
  }
  RETURN_IF_ERROR(runtime.ChargeText(joined.size()));
  return Value::String(std::move(joined));
}

absl::StatusOr<Value> Reverse(Runtime& runtime, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("reverse", arguments));
  if (input.is_string()) return GetSlice(runtime, input, Value(), Value(), Value::Int(-1));
  // An iterator is read to its end and becomes a list, everything else an iterator.
  if (ObjectCast<IteratorObject>(input) != nullptr) {
    ASSIGN_OR_RETURN(std::vector<Value> items, ToVector(runtime, input));
    return Value::List(std::vector<Value>(items.rbegin(), items.rend()));
  }
  if (!IsIterable(input)) return absl::InvalidArgumentError("argument must be iterable");
  return DeferredGenerator(input.depth(), [&runtime, input] { return Reversed(runtime, input); });
}

absl::StatusOr<std::vector<Value>> MakeBatches(Runtime& runtime, const Value& input,
                                               const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("batch", {"linecount", "fill_with"}, 1, arguments));
  ASSIGN_OR_RETURN(const int64_t size, bound.GetInt(0, 0));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  std::vector<Value> batches;
  std::vector<Value> batch;
  for (const Value& item : items) {
    if (static_cast<int64_t>(batch.size()) == size) {
      batches.push_back(Value::List(std::exchange(batch, {})));
    }
    batch.push_back(item);
  }
  if (!batch.empty()) {
    const int64_t missing = size - static_cast<int64_t>(batch.size());
    if (bound.HasValue(1) && missing > 0) {
      RETURN_IF_ERROR(runtime.Charge(missing));
      batch.insert(batch.end(), static_cast<size_t>(missing), *bound[1]);
    }
    batches.push_back(Value::List(std::move(batch)));
  }
  return batches;
}

absl::StatusOr<std::vector<Value>> MakeSlices(Runtime& runtime, const Value& input,
                                              const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("slice", {"slices", "fill_with"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  ASSIGN_OR_RETURN(const int64_t num_slices, bound.GetInt(0, 0));
  if (num_slices == 0) {
    return absl::InvalidArgumentError("integer division or modulo by zero");
  }
  RETURN_IF_ERROR(runtime.Charge(std::max<int64_t>(num_slices, 0)));
  const auto size = static_cast<int64_t>(items.size());
  std::vector<Value> slices;
  auto begin = items.begin();
  for (int64_t i = 0; i < num_slices; ++i) {
    const bool longer = i < size % num_slices;
    const auto end = begin + size / num_slices + (longer ? 1 : 0);
    std::vector<Value> slice(begin, end);
    if (bound.HasValue(1) && !longer) slice.push_back(*bound[1]);
    slices.push_back(Value::List(std::move(slice)));
    begin = end;
  }
  return slices;
}

// `batch` or `slice`: their arguments are counted at once, and read with the first item.
template <auto kMakeItems>
absl::StatusOr<Value> Divide(Runtime& runtime, const Value& input, const Arguments& arguments) {
  const absl::string_view size_name = kMakeItems == MakeBatches ? "linecount" : "slices";
  RETURN_IF_ERROR(BoundArguments::Bind("filter", {size_name, "fill_with"}, 1, arguments).status());
  int depth = input.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  return DeferredGenerator(
      depth, [&runtime, input, arguments] { return kMakeItems(runtime, input, arguments); });
}

absl::StatusOr<Value> Attr(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("attr", {"name"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string name, bound.GetString(0, ""));
  ASSIGN_OR_RETURN(std::optional<Value> attribute, FindAttribute(input, name));
  if (attribute.has_value()) return *std::move(attribute);
  return Value::Undefined(
      absl::StrCat("'", DescribeType(input), "' has no attribute '", name, "'"));
}

}  // namespace

Filter FindSequenceFilter(absl::string_view name) {
  static const auto* const kFilters = new absl::flat_hash_map<absl::string_view, Filter>({
      {"attr", Attr},
      {"batch", Divide<MakeBatches>},
      {"count", Length},
      {"first", First},
      {"items", Items},
      {"join", JoinItems},
      {"last", Last},
      {"length", Length},
      {"list", List},
      {"reverse", Reverse},
      {"slice", Divide<MakeSlices>},
  });
  const auto found = kFilters->find(name);
  return found == kFilters->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
