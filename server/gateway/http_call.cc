#include "server/gateway/http_call.h"

#include <random>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace tandem {

void HttpCall::Respond(HttpResponse response) const {
  response.headers.emplace_back("X-Request-Id", request_id);
  exchange->Respond(std::move(response));
}

void HttpCall::RespondJson(const Json& json) const { Respond({.body = DumpJson(json)}); }

void HttpCall::RespondError(const absl::Status& status, bool close) const {
  HttpResponse response = ErrorResponse(ToApiError(status));
  response.close = close;
  Respond(std::move(response));
}

HttpResponse ErrorResponse(const ApiError& error) {
  HttpResponse response{.status = error.http_status, .body = DumpJson(ErrorJson(error))};
  if (error.retry_after_seconds > 0) {
    response.headers.emplace_back("Retry-After", absl::StrCat(error.retry_after_seconds));
  }
  if (!error.dropped_reason.empty()) {
    response.headers.emplace_back("x-llm-d-request-dropped-reason", error.dropped_reason);
  }
  return response;
}

uint64_t RandomUint64() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

std::string ChooseRequestId(absl::string_view given) {
  constexpr size_t kMaxLength = 128;
  const bool is_printable = absl::c_all_of(given, [](char c) { return absl::ascii_isgraph(c); });
  if (given.empty() || given.size() > kMaxLength || !is_printable) return RandomId();
  return std::string(given);
}

std::string RandomId() {
  return absl::StrCat(absl::Hex(RandomUint64(), absl::kZeroPad16),
                      absl::Hex(RandomUint64() >> 32, absl::kZeroPad8));
}

}  // namespace tandem
