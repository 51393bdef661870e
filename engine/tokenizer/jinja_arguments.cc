#include "engine/tokenizer/jinja_arguments.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_operators.h"

namespace tandem::jinja {

absl::StatusOr<BoundArguments> BoundArguments::Bind(
    absl::string_view callee, std::initializer_list<absl::string_view> parameters,
    size_t num_required, const Arguments& arguments) {
  if (arguments.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat(callee, "() takes at most ", parameters.size(),
                                                   " arguments, got ",
                                                   arguments.positional.size()));
  }
  BoundArguments bound;
  bound.callee_ = std::string(callee);
  bound.parameters_.assign(parameters);
  bound.values_.assign(parameters.size(), nullptr);
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(callee, "() got an unexpected keyword argument '", name, "'"));
    }
    const Value*& slot = bound.values_[static_cast<size_t>(found - parameters.begin())];
    if (slot != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(callee, "() got multiple values for argument '", name, "'"));
    }
    slot = &value;
  }
  for (size_t i = 0; i < num_required; ++i) {
    if (bound.values_[i] == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(callee, "() missing required argument '", bound.parameters_[i], "'"));
    }
  }
  return bound;
}

bool BoundArguments::GetTruth(size_t index, bool fallback) const {
  return Has(index) ? IsTrue(*values_[index]) : fallback;
}

absl::StatusOr<int64_t> BoundArguments::GetInt(size_t index, int64_t fallback) const {
  if (!Has(index)) return fallback;
  RETURN_IF_ERROR(CheckDefined(*values_[index]));
  if (!values_[index]->is_integral()) {
    return absl::InvalidArgumentError(absl::StrCat(callee_, "(): argument '", parameters_[index],
                                                   "' must be int, not ",
                                                   TypeName(*values_[index])));
  }
  const Integer value = values_[index]->integer();
  if (value < std::numeric_limits<int64_t>::min() || value > std::numeric_limits<int64_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(callee_, "(): argument '", parameters_[index],
                                                   "' is out of range: ", IntegerToString(value)));
  }
  return static_cast<int64_t>(value);
}

absl::StatusOr<std::string> BoundArguments::GetString(size_t index,
                                                      absl::string_view fallback) const {
  if (!Has(index)) return std::string(fallback);
  RETURN_IF_ERROR(CheckDefined(*values_[index]));
  if (!values_[index]->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(callee_, "(): argument '", parameters_[index],
                                                   "' must be str, not ",
                                                   TypeName(*values_[index])));
  }
  return values_[index]->text();
}

absl::Status ExpectNoArguments(absl::string_view callee, const Arguments& arguments) {
  if (arguments.positional.empty() && arguments.keyword.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(callee, "() takes no arguments"));
}

}  // namespace tandem::jinja
