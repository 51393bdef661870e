#include "server/gateway/slo.h"

#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr absl::string_view kNoTargets = "none";
constexpr absl::string_view kOwnTargets = "custom";

absl::StatusOr<absl::Duration> ParseMilliseconds(absl::string_view text) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !(value > 0) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no positive number of ms"));
  }
  return absl::Milliseconds(value);
}

absl::Status TakeTarget(absl::string_view text, Slo& slo) {
  if (text == "reject") {
    slo.reject_late = true;
    return absl::OkStatus();
  }
  if (absl::ConsumePrefix(&text, "ttft:")) {
    ASSIGN_OR_RETURN(slo.ttft, ParseMilliseconds(text));
    return absl::OkStatus();
  }
  if (absl::ConsumePrefix(&text, "tpot:")) {
    ASSIGN_OR_RETURN(slo.tpot, ParseMilliseconds(text));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is none of ttft:MS, tpot:MS and reject"));
}

bool IsName(absl::string_view name) {
  constexpr size_t kLongest = 64;
  if (name.empty() || name.size() > kLongest) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_' && c != '-' && c != '.') return false;
  }
  return name != kNoTargets && name != kOwnTargets;
}

absl::Status TakeClass(absl::string_view spec, std::map<std::string, Slo>& classes) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(spec, absl::MaxSplits('=', 1));
  const auto& [name, targets] = parts;
  if (!IsName(name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", name, "\" is no name for a class: letters, digits, '_', '-' and '.', but neither \"",
        kNoTargets, "\" nor \"", kOwnTargets, "\""));
  }
  Slo slo{.label = std::string(name)};
  for (absl::string_view target : absl::StrSplit(targets, ',', absl::SkipEmpty())) {
    RETURN_IF_ERROR(TakeTarget(target, slo));
  }
  if (slo.ttft == absl::InfiniteDuration() && slo.tpot == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError("has neither ttft:MS nor tpot:MS");
  }
  if (!classes.emplace(name, slo).second) return absl::InvalidArgumentError("is given twice");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SloClasses> SloClasses::Parse(const std::vector<std::string>& specs) {
  SloClasses classes;
  for (const std::string& spec : specs) {
    RETURN_IF_ERROR(Annotate(TakeClass(spec, classes.classes_), absl::StrCat("SLO class ", spec)));
  }
  return classes;
}

absl::StatusOr<Slo> SloClasses::Resolve(const SloWish& wish) const {
  Slo slo;
  if (!wish.class_name.empty()) {
    const auto found = classes_.find(wish.class_name);
    if (found == classes_.end()) {
      return absl::NotFoundError(absl::StrCat("there is no SLO class \"", wish.class_name, "\""));
    }
    slo = found->second;
  } else if (wish.ttft || wish.tpot) {
    slo.label = std::string(kOwnTargets);
  }
  slo.ttft = wish.ttft.value_or(slo.ttft);
  slo.tpot = wish.tpot.value_or(slo.tpot);
  slo.reject_late = wish.reject_late.value_or(slo.reject_late);
  return slo;
}

std::string SloClasses::LabelOf(const SloWish& wish) const {
  const absl::StatusOr<Slo> slo = Resolve(wish);
  return slo.ok() ? slo->label : std::string(kNoTargets);
}

std::vector<std::string> SloClasses::Labels() const {
  std::vector<std::string> labels = {std::string(kNoTargets), std::string(kOwnTargets)};
  for (const auto& [name, slo] : classes_) labels.push_back(name);
  return labels;
}

}  // namespace tandem
