#include "server/gateway/request_headers.h"

#include <cmath>
#include <initializer_list>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

// Ours, then those that llm-d's and other inference gateways send.
constexpr absl::string_view kOurClass = "x-tandem-slo-class";
constexpr std::initializer_list<absl::string_view> kOtherClasses = {
    "x-llm-d-inference-objective", "x-gateway-inference-objective"};
constexpr std::initializer_list<absl::string_view> kTtftHeaders = {
    "x-tandem-ttft-ms", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"};
constexpr std::initializer_list<absl::string_view> kTpotHeaders = {
    "x-tandem-tpot-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"};
constexpr std::initializer_list<absl::string_view> kTenant = {"x-llm-d-inference-fairness-id",
                                                              "x-gateway-inference-fairness-id"};

struct Header {
  absl::string_view name;
  absl::string_view value;  // empty: none of them is there
};

Header FirstOf(const HttpHeaders& headers, std::initializer_list<absl::string_view> names) {
  for (const absl::string_view name : names) {
    if (const absl::string_view value = FindHeader(headers, name); !value.empty()) {
      return {name, value};
    }
  }
  return {};
}

absl::Status TakeMilliseconds(const Header& header, std::optional<absl::Duration>& target) {
  if (header.value.empty()) return absl::OkStatus();
  double value = 0;
  if (!absl::SimpleAtod(header.value, &value) || !(value > 0) || !std::isfinite(value)) {
    return InvalidField(
        header.name, absl::StrCat(header.name, " must be a positive number, got ", header.value));
  }
  target = absl::Milliseconds(value);
  return absl::OkStatus();
}

absl::StatusOr<bool> BoolOf(const HttpHeaders& headers, absl::string_view name, bool absent) {
  const absl::string_view value = FindHeader(headers, name);
  bool result = absent;
  if (value.empty() || absl::SimpleAtob(value, &result)) return result;
  return InvalidField(name, absl::StrCat(name, " must be true or false, got ", value));
}

// The class that the request names, if there is such a one; empty otherwise.
std::string ClassNameOf(const HttpHeaders& headers, const SloClasses& classes) {
  const absl::string_view ours = FindHeader(headers, kOurClass);
  const absl::string_view name = ours.empty() ? FirstOf(headers, kOtherClasses).value : ours;
  return classes.Has(name) ? std::string(name) : "";
}

absl::Status TakeSlo(const HttpHeaders& headers, const SloClasses& classes, SloWish& slo) {
  slo.class_name = ClassNameOf(headers, classes);
  RETURN_IF_ERROR(TakeMilliseconds(FirstOf(headers, kTtftHeaders), slo.ttft));
  RETURN_IF_ERROR(TakeMilliseconds(FirstOf(headers, kTpotHeaders), slo.tpot));
  constexpr absl::string_view kReject = "x-tandem-reject-late";
  if (!FindHeader(headers, kReject).empty()) {
    ASSIGN_OR_RETURN(slo.reject_late, BoolOf(headers, kReject, false));
  }
  return absl::OkStatus();
}

}  // namespace

SloWish SloWishOf(const HttpHeaders& headers, const SloClasses& classes) {
  SloWish slo;
  TakeSlo(headers, classes, slo).IgnoreError();  // what it has taken until then is what counts
  return slo;
}

absl::Status TakeHeaders(const HttpHeaders& headers, const SloClasses& classes,
                         ApiRequest& request) {
  ASSIGN_OR_RETURN(request.wants_timing, BoolOf(headers, "x-tandem-timing", false));
  request.tenant = std::string(FirstOf(headers, kTenant).value);
  const absl::string_view ours = FindHeader(headers, kOurClass);
  if (!ours.empty() && !classes.Has(ours)) {
    return InvalidField(kOurClass, absl::StrCat("there is no SLO class \"", ours, "\""));
  }
  return TakeSlo(headers, classes, request.slo);
}

}  // namespace tandem
