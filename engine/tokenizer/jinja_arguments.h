// Binds the arguments of a call to the parameters of a native function, as Python does.
//
//   ASSIGN_OR_RETURN(const BoundArguments bound,
//                    BoundArguments::Bind("indent", {"width", "first", "blank"}, 0, arguments));
//   ASSIGN_OR_RETURN(const bool first, bound.GetBool(1, false));
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"

namespace tandem::jinja {

// Looks at the arguments it was made from: they must outlive it.
class BoundArguments {
 public:
  // INVALID_ARGUMENT names the function `callee` and the parameter: one of the first `num_required`
  // missing, too many, unknown or given twice.
  static absl::StatusOr<BoundArguments> Bind(absl::string_view callee,
                                             std::initializer_list<absl::string_view> parameters,
                                             size_t num_required, const Arguments& arguments);

  // The argument of parameter number `index`, null where not given.
  const Value* operator[](size_t index) const { return values_[index]; }
  bool Has(size_t index) const { return values_[index] != nullptr; }
  // None counts as not given.
  bool HasValue(size_t index) const { return Has(index) && !values_[index]->is_none(); }

  // The argument or, where not given, `fallback`. INVALID_ARGUMENT for a value of another type; any
  // value has a truth.
  bool GetTruth(size_t index, bool fallback) const;
  absl::StatusOr<int64_t> GetInt(size_t index, int64_t fallback) const;
  absl::StatusOr<std::string> GetString(size_t index, absl::string_view fallback) const;

 private:
  std::string callee_;
  std::vector<absl::string_view> parameters_;
  std::vector<const Value*> values_;
};

// INVALID_ARGUMENT unless there are none.
absl::Status ExpectNoArguments(absl::string_view callee, const Arguments& arguments);

}  // namespace tandem::jinja
