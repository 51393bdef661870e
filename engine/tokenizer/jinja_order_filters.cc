// Filters that compare items: sorting, grouping, extremes, sums.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_filters.h"
#include "engine/tokenizer/jinja_operators.h"

namespace tandem::jinja {
namespace {

struct KeyedItem {
  Value key;
  Value item;
};

// Stable, also in reverse, as Python's sorted().
absl::Status SortByKey(Runtime& runtime, bool reverse, std::vector<KeyedItem>* items) {
  absl::Status status;
  const auto less = [&](const Value& a, const Value& b) {
    if (!status.ok()) return false;
    const absl::StatusOr<bool> result = IsLess(runtime, a, b);
    status.Update(result.status());
    return result.ok() && *result;
  };
  std::stable_sort(items->begin(), items->end(), [&](const KeyedItem& a, const KeyedItem& b) {
    return reverse ? less(b.key, a.key) : less(a.key, b.key);
  });
  return status;
}

Value ListOfItems(std::vector<KeyedItem> keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (KeyedItem& entry : keyed) items.push_back(std::move(entry.item));
  return Value::List(std::move(items));
}

Value MaybeIgnoreCase(const Value& value, bool case_sensitive) {
  return case_sensitive ? value : IgnoreCase(value);
}

// The paths of "a.b,c".
absl::StatusOr<std::vector<AttributePath>> ParsePaths(const Value* attribute) {
  std::vector<AttributePath> paths;
  if (attribute == nullptr || !attribute->is_string()) {
    ASSIGN_OR_RETURN(AttributePath path, AttributePath::Parse(attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  for (const absl::string_view part : absl::StrSplit(attribute->text(), ',')) {
    const Value text = Value::String(part);
    ASSIGN_OR_RETURN(AttributePath path, AttributePath::Parse(&text));
    paths.push_back(std::move(path));
  }
  return paths;
}

absl::StatusOr<Value> Sort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("sort", {"reverse", "case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::vector<AttributePath> paths, ParsePaths(bound[2]));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  std::vector<KeyedItem> keyed;
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const AttributePath& path : paths) {
      ASSIGN_OR_RETURN(const Value part, path.Get(item));
      key.push_back(MaybeIgnoreCase(part, bound.GetTruth(1, false)));
    }
    keyed.push_back({Value::List(std::move(key)), item});
  }
  RETURN_IF_ERROR(SortByKey(runtime, bound.GetTruth(0, false), &keyed));
  return ListOfItems(std::move(keyed));
}

absl::StatusOr<Value> DictSort(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("dictsort", {"case_sensitive", "by", "reverse"}, 0, arguments));
  ASSIGN_OR_RETURN(const std::string by, bound.GetString(1, "key"));
  if (by != "key" && by != "value") {
    return absl::InvalidArgumentError("You can only sort by either \"key\" or \"value\"");
  }
  RETURN_IF_ERROR(CheckDefined(input));
  if (!input.is_dict()) {
    return absl::InvalidArgumentError(absl::StrCat("dictsort() wants dict, not ", TypeName(input)));
  }
  std::vector<KeyedItem> keyed;
  for (const auto& [key, value] : input.dict().entries()) {
    keyed.push_back({MaybeIgnoreCase(by == "key" ? key : value, bound.GetTruth(0, false)),
                     Value::Tuple({key, value})});
  }
  RETURN_IF_ERROR(SortByKey(runtime, bound.GetTruth(2, false), &keyed));
  return ListOfItems(std::move(keyed));
}

absl::StatusOr<Value> Unique(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("unique", {"case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(AttributePath path, AttributePath::Parse(bound[1]));
  return MakeGenerator(
      [&runtime, input, path = std::move(path), iterator = std::shared_ptr<Iterator>(),
       case_sensitive = bound.GetTruth(0, false),
       seen =
           absl::flat_hash_set<std::string>()]() mutable -> absl::StatusOr<std::optional<Value>> {
        if (iterator == nullptr) {
          ASSIGN_OR_RETURN(iterator, Iterate(input));
        }
        while (true) {
          ASSIGN_OR_RETURN(std::optional<Value> item, iterator->Next());
          if (!item.has_value()) return std::nullopt;
          RETURN_IF_ERROR(runtime.Charge(1));
          ASSIGN_OR_RETURN(const Value found, path.Get(*item));
          ASSIGN_OR_RETURN(std::string key, HashKey(MaybeIgnoreCase(found, case_sensitive)));
          if (seen.insert(std::move(key)).second) return item;
        }
      },
      input.depth());
}

absl::StatusOr<Value> GroupBy(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("groupby", {"attribute", "default", "case_sensitive"}, 1, arguments));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(bound[0]));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  std::vector<KeyedItem> keyed;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value key, path.Get(item, bound[1]));
    keyed.push_back({MaybeIgnoreCase(key, bound.GetTruth(2, false)), item});
  }
  RETURN_IF_ERROR(SortByKey(runtime, /*reverse=*/false, &keyed));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < keyed.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (; end < keyed.size(); ++end) {
      ASSIGN_OR_RETURN(const bool same, Equals(runtime, keyed[begin].key, keyed[end].key));
      if (!same) break;
      members.push_back(keyed[end].item);
    }
    // The key of a group has the case of its first member.
    ASSIGN_OR_RETURN(Value key, path.Get(keyed[begin].item, bound[1]));
    groups.push_back(Value::Group(std::move(key), Value::List(std::move(members))));
    begin = end;
  }
  return Value::List(std::move(groups));
}

template <CompareOperator kBetter>
absl::StatusOr<Value> Extreme(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("min", {"case_sensitive", "attribute"}, 0, arguments));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(bound[1]));
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  std::optional<KeyedItem> best;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value found, path.Get(item));
    const Value key = MaybeIgnoreCase(found, bound.GetTruth(0, false));
    bool better = !best.has_value();
    if (!better) {
      ASSIGN_OR_RETURN(better, Compare(runtime, kBetter, key, best->key));
    }
    if (better) best = KeyedItem{key, item};
  }
  if (best.has_value()) return best->item;
  return Value::Undefined("No aggregated item, sequence was empty.");
}

absl::StatusOr<Value> Sum(Runtime& runtime, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("sum", {"attribute", "start"}, 0, arguments));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(bound[0]));
  Value sum = bound.Has(1) ? *bound[1] : Value::Int(0);
  if (sum.is_string()) {
    return absl::InvalidArgumentError("sum() can't sum strings [use ''.join(seq) instead]");
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, input));
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value part, path.Get(item));
    ASSIGN_OR_RETURN(sum, Calculate(runtime, BinaryOperator::kAdd, sum, part));
  }
  return sum;
}

}  // namespace

Filter FindOrderFilter(absl::string_view name) {
  static const auto* const kFilters = new absl::flat_hash_map<absl::string_view, Filter>({
      {"dictsort", DictSort},
      {"groupby", GroupBy},
      {"max", Extreme<CompareOperator::kGt>},
      {"min", Extreme<CompareOperator::kLt>},
      {"sort", Sort},
      {"sum", Sum},
      {"unique", Unique},
  });
  const auto found = kFilters->find(name);
  return found == kFilters->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
