#include "server/bench/run_series.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

absl::Status ParseTarget(absl::string_view text, SloTargets& targets) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  double ms = 0;
  std::optional<absl::Duration>* target = nullptr;
  if (parts[0] == "ttft") target = &targets.ttft;
  if (parts[0] == "tpot") target = &targets.tpot;
  if (parts[0] == "e2el") target = &targets.latency;
  constexpr double kMaxMs = 1e9;
  if (target == nullptr || parts.size() != 2 || !absl::SimpleAtod(parts[1], &ms) || !(ms > 0) ||
      ms > kMaxMs) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no target: expected ttft:MS, tpot:MS or e2el:MS"));
  }
  if (*target) return absl::InvalidArgumentError(absl::StrCat(parts[0], " is given twice"));
  *target = absl::Milliseconds(ms);
  return absl::OkStatus();
}

}  // namespace

std::string TargetsText(const SloTargets& targets) {
  std::string text;
  const auto append = [&text](const char* name, const std::optional<absl::Duration>& target) {
    if (!target) return;
    absl::StrAppend(&text, text.empty() ? "" : " ", name, ":", absl::ToDoubleMilliseconds(*target));
  };
  append("ttft", targets.ttft);
  append("tpot", targets.tpot);
  append("e2el", targets.latency);
  return text;
}

absl::StatusOr<SloTargets> ParseTargets(const std::vector<std::string>& texts) {
  SloTargets targets;
  for (const std::string& text : texts) {
    for (absl::string_view target :
         absl::StrSplit(text, absl::ByAnyChar(" ,"), absl::SkipEmpty())) {
      RETURN_IF_ERROR(ParseTarget(target, targets));
    }
  }
  return targets;
}

std::string RateText(double rate) {
  return std::isinf(rate) ? "inf" : absl::StrFormat("%.4g", rate);
}

}  // namespace tandem
