#include "server/gateway/http_call.h"

#include <random>
#include <utility>

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

std::string RandomId() {
  return absl::StrCat(absl::Hex(RandomUint64(), absl::kZeroPad16),
                      absl::Hex(RandomUint64() >> 32, absl::kZeroPad8));
}

}  // namespace tandem
