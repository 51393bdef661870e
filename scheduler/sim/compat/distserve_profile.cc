#include "scheduler/sim/compat/distserve_profile.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr absl::string_view kCapacityHeader = "model,tp,pp,max_num_tokens";

absl::StatusOr<StepFit> ParseFit(const json& fits, const char* key) {
  const auto it = fits.find(key);
  if (it == fits.end() || !it->is_array() || it->size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": expected three numbers"));
  }
  StepFit fit;
  for (size_t i = 0; i < fit.size(); ++i) {
    if (!(*it)[i].is_number()) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": expected three numbers"));
    }
    fit[i] = (*it)[i].get<double>();
    if (!std::isfinite(fit[i])) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": a number is too large"));
    }
  }
  return fit;
}

absl::StatusOr<StepFits> ParseFits(const json& value) {
  if (!value.is_object()) return absl::InvalidArgumentError("expected an object");
  StepFits fits;
  ASSIGN_OR_RETURN(fits.prefill, ParseFit(value, "prefill"));
  ASSIGN_OR_RETURN(fits.small_decode, ParseFit(value, "decoding_smallbs"));
  ASSIGN_OR_RETURN(fits.large_decode, ParseFit(value, "decoding_largebs"));
  constexpr char kThreshold[] = "decoding_large_small_bs_threshold";
  const auto threshold = value.find(kThreshold);
  if (threshold == value.end() || !threshold->is_number_integer()) {
    return absl::InvalidArgumentError(absl::StrCat(kThreshold, ": expected a whole number"));
  }
  fits.large_batch = threshold->get<int>();
  return fits;
}

absl::StatusOr<std::map<int, StepFits>> ParseModel(const json& value) {
  if (!value.is_object()) return absl::InvalidArgumentError("expected an object");
  std::map<int, StepFits> by_tp;
  for (const auto& [name, fits] : value.items()) {
    int tp = 0;
    if (!absl::SimpleAtoi(name, &tp) || tp < 1) {
      return absl::InvalidArgumentError(absl::StrCat("expected a TP, got \"", name, "\""));
    }
    absl::StatusOr<StepFits> parsed = ParseFits(fits);
    if (!parsed.ok()) return Annotate(parsed.status(), absl::StrCat("TP ", tp));
    by_tp[tp] = *parsed;
  }
  return by_tp;
}

}  // namespace

absl::StatusOr<DistServeProfile> DistServeProfile::Parse(absl::string_view json_text,
                                                         absl::string_view csv) {
  DistServeProfile profile;
  const json root = json::parse(json_text.begin(), json_text.end(), nullptr, false);
  if (!root.is_object()) return absl::InvalidArgumentError("the profile is no JSON object");
  for (const auto& [model, value] : root.items()) {
    absl::StatusOr<std::map<int, StepFits>> by_tp = ParseModel(value);
    if (!by_tp.ok()) return Annotate(by_tp.status(), model);
    profile.fits_[model] = *std::move(by_tp);
  }

  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(csv, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || (line_number == 1 && line == kCapacityHeader)) continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
    int tp = 0, pp = 0;
    int64_t capacity = 0;
    if (cells.size() != 4 || !absl::SimpleAtoi(cells[1], &tp) || !absl::SimpleAtoi(cells[2], &pp) ||
        !absl::SimpleAtoi(cells[3], &capacity) || tp < 1 || pp < 1 || capacity < 1) {
      return absl::InvalidArgumentError(absl::StrCat("capacities, line ", line_number,
                                                     ": expected ", kCapacityHeader, ", got \"",
                                                     line, "\""));
    }
    profile.capacities_[{std::string(cells[0]), tp, pp}] = capacity;
  }
  return profile;
}

absl::StatusOr<PhaseModel> DistServeProfile::Find(const std::string& model, int tp, int pp) const {
  const auto by_tp = fits_.find(model);
  if (by_tp == fits_.end() || !by_tp->second.contains(tp)) {
    return absl::FailedPreconditionError(absl::StrCat("no step times of ", model, " at TP ", tp));
  }
  const auto capacity = capacities_.find({model, tp, pp});
  if (capacity == capacities_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no KV capacity of ", model, " at TP ", tp, ", PP ", pp));
  }
  return PhaseModel{by_tp->second.at(tp), pp, capacity->second};
}

}  // namespace tandem
