// Methods of list, tuple and dict that do not change them.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_methods.h"
#include "engine/tokenizer/jinja_operators.h"

namespace tandem::jinja {
namespace {

absl::StatusOr<Value> CountEqual(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("count", {"value"}, 1, arguments));
  int64_t count = 0;
  for (const Value& item : self.items()) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, item, *bound[0]));
    if (equal) ++count;
  }
  return Value::Int(count);
}

absl::StatusOr<Value> Index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("index", {"value", "start", "stop"}, 1, arguments));
  const auto size = static_cast<int64_t>(self.items().size());
  ASSIGN_OR_RETURN(int64_t start, bound.GetInt(1, 0));
  ASSIGN_OR_RETURN(int64_t stop, bound.GetInt(2, size));
  if (start < 0) start = std::max<int64_t>(start + size, 0);
  if (stop < 0) stop += size;
  for (int64_t i = start; i < std::min(stop, size); ++i) {
    ASSIGN_OR_RETURN(const bool equal,
                     Equals(runtime, self.items()[static_cast<size_t>(i)], *bound[0]));
    if (equal) return Value::Int(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(TypeName(self), ".index(x): x not in ", TypeName(self)));
}

absl::StatusOr<Value> Copy(Runtime& runtime, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("copy", arguments));
  RETURN_IF_ERROR(runtime.Charge(
      static_cast<int64_t>(self.is_list() ? self.items().size() : self.dict().size())));
  return self.is_list() ? Value::List(self.items()) : Value::Mapping(self.dict());
}

absl::StatusOr<Value> Get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!arguments.keyword.empty()) {
    return absl::InvalidArgumentError("dict.get() takes no keyword arguments");
  }
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("get", {"key", "default"}, 1, arguments));
  ASSIGN_OR_RETURN(const Value* found, self.dict().Find(*bound[0]));
  if (found != nullptr) return *found;
  return bound.Has(1) ? *bound[1] : Value();
}

template <DictView::Part kPart>
absl::StatusOr<Value> View(Runtime& runtime, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(ExpectNoArguments("dict view", arguments));
  return Value::FromObject(std::make_shared<DictView>(self, kPart));
}

}  // namespace

Method FindContainerMethod(Kind kind, absl::string_view name) {
  using Table = absl::flat_hash_map<absl::string_view, Method>;
  static const auto* const kListMethods =
      new Table({{"copy", Copy}, {"count", CountEqual}, {"index", Index}});
  static const auto* const kTupleMethods = new Table({{"count", CountEqual}, {"index", Index}});
  static const auto* const kDictMethods = new Table({{"copy", Copy},
                                                     {"get", Get},
                                                     {"items", View<DictView::Part::kItems>},
                                                     {"keys", View<DictView::Part::kKeys>},
                                                     {"values", View<DictView::Part::kValues>}});
  const Table* table = kind == Kind::kList    ? kListMethods
                       : kind == Kind::kTuple ? kTupleMethods
                                              : kDictMethods;
  const auto found = table->find(name);
  return found == table->end() ? nullptr : found->second;
}

}  // namespace tandem::jinja
