// Filters that apply a filter or a test to every item: generators.
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_predicates.h"

namespace tandem::jinja {
namespace {

// What becomes of one item; nullopt: it is left out.
using Transform = std::function<absl::StatusOr<std::optional<Value>>(const Value&)>;

// How deep the values nest that the arguments hold.
int DepthOf(const Value& input, const Arguments& arguments) {
  int depth = input.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.keyword) depth = std::max(depth, value.depth());
  return depth;
}

// Jinja's generators begin with `if value`, at the first item asked for: what is false yields
// nothing, even where it cannot be iterated, and wrong arguments do no harm. `prepare` reads the
// arguments then.
Value LazyGenerator(Runtime& runtime, const Value& input, int depth,
                    std::function<absl::StatusOr<Transform>()> prepare) {
  return MakeGenerator(
      [&runtime, input, prepare = std::move(prepare), transform = Transform(),
       iterator = std::shared_ptr<Iterator>()]() mutable -> absl::StatusOr<std::optional<Value>> {
        if (iterator == nullptr) {
          if (!IsTrue(input)) return std::nullopt;
          ASSIGN_OR_RETURN(transform, prepare());
          ASSIGN_OR_RETURN(iterator, Iterate(input));
        }
        while (true) {
          RETURN_IF_ERROR(runtime.Charge(1));
          Runtime::Nesting nesting(runtime);
          RETURN_IF_ERROR(nesting.Check());
          ASSIGN_OR_RETURN(const std::optional<Value> item, iterator->Next());
          if (!item.has_value()) return std::nullopt;
          ASSIGN_OR_RETURN(std::optional<Value> result, transform(*item));
          if (result.has_value()) return result;
        }
      },
      depth);
}

absl::StatusOr<Transform> PrepareAttributeMap(const Arguments& arguments) {
  const Value* path = nullptr;
  Value fallback;
  for (const auto& [name, value] : arguments.keyword) {
    if (name == "attribute") {
      path = &value;
    } else if (name == "default") {
      fallback = value;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("Unexpected keyword argument '", name, "'"));
    }
  }
  ASSIGN_OR_RETURN(AttributePath parsed, AttributePath::Parse(path));
  return [parsed = std::move(parsed),
          fallback](const Value& item) -> absl::StatusOr<std::optional<Value>> {
    ASSIGN_OR_RETURN(Value value, parsed.Get(item, &fallback));
    return value;
  };
}

bool HasKeyword(const Arguments& arguments, absl::string_view wanted) {
  for (const auto& [name, value] : arguments.keyword) {
    if (name == wanted) return true;
  }
  return false;
}

absl::StatusOr<Transform> PrepareMap(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.empty()) {
    if (HasKeyword(arguments, "attribute")) return PrepareAttributeMap(arguments);
    return absl::InvalidArgumentError("map requires a filter argument");
  }
  const Value name = arguments.positional[0];
  if (!name.is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat("map wants the name of a filter, not ", TypeName(name)));
  }
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  return [&runtime, name,
          rest = std::move(rest)](const Value& item) -> absl::StatusOr<std::optional<Value>> {
    ASSIGN_OR_RETURN(Value value, CallFilter(runtime, name.text(), item, rest));
    return value;
  };
}

absl::StatusOr<Value> Map(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return LazyGenerator(runtime, input, DepthOf(input, arguments),
                       [&runtime, arguments] { return PrepareMap(runtime, arguments); });
}

// Keeps the items of which the test is `wanted`.
absl::StatusOr<Transform> PrepareSelect(Runtime& runtime, Arguments arguments, bool by_attribute,
                                        bool wanted) {
  AttributePath path;
  if (by_attribute) {
    if (arguments.positional.empty()) {
      return absl::InvalidArgumentError("Missing parameter for attribute name");
    }
    ASSIGN_OR_RETURN(path, AttributePath::Parse(&arguments.positional[0]));
    arguments.positional.erase(arguments.positional.begin());
  }
  std::optional<std::string> test;
  if (!arguments.positional.empty()) {
    if (!arguments.positional[0].is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("select wants the name of a test, not ", TypeName(arguments.positional[0])));
    }
    test = arguments.positional[0].text();
    arguments.positional.erase(arguments.positional.begin());
  }
  return
      [&runtime, path = std::move(path), test = std::move(test), arguments = std::move(arguments),
       wanted](const Value& item) -> absl::StatusOr<std::optional<Value>> {
        ASSIGN_OR_RETURN(const Value value, path.Get(item));
        bool result = IsTrue(value);
        if (test.has_value()) {
          ASSIGN_OR_RETURN(result, CallTest(runtime, *test, value, arguments));
        }
        return result == wanted ? std::optional<Value>(item) : std::nullopt;
      };
}

template <bool kByAttribute, bool kWanted>
absl::StatusOr<Value> Select(Runtime& runtime, const Value& input, const Arguments& arguments) {
  return LazyGenerator(runtime, input, DepthOf(input, arguments), [&runtime, arguments] {
    return PrepareSelect(runtime, arguments, kByAttribute, kWanted);
  });
}

}  // namespace

Filter FindSelectFilter(absl::string_view name) {
  static const auto* const kFilters = new absl::flat_hash_map<absl::string_view, Filter>({
      {"map", Map},
      {"reject", Select<false, false>},
      {"rejectattr", Select<true, false>},
      {"select", Select<false, true>},
      {"selectattr", Select<true, true>},
  });
  const auto found = kFilters->find(name);
  return found == kFilters->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
