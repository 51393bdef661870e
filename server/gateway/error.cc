#include "server/gateway/error.h"

#include "absl/strings/cord.h"
#include "nlohmann/json.hpp"

namespace tandem {
namespace {

constexpr absl::string_view kParamUrl = "tandem/error-param";
constexpr absl::string_view kCodeUrl = "tandem/error-code";

struct Row {
  absl::StatusCode status;
  int http_status;
  const char* type;
  const char* code;  // where the status carries none
  int retry_after_seconds = 0;
  const char* dropped_reason = "";
};

// 429 is the client's share or a policy that sheds; 503 is that we cannot. Both tell when to retry:
// one second, since a saturated or restarting cluster frees places at about that pace.
constexpr Row kTable[] = {
    {absl::StatusCode::kInvalidArgument, 400, "invalid_request_error", ""},
    {absl::StatusCode::kOutOfRange, 400, "invalid_request_error", ""},
    {absl::StatusCode::kUnauthenticated, 401, "invalid_request_error", "invalid_api_key"},
    {absl::StatusCode::kPermissionDenied, 403, "invalid_request_error", ""},
    {absl::StatusCode::kNotFound, 404, "invalid_request_error", ""},
    {absl::StatusCode::kFailedPrecondition, 409, "invalid_request_error", ""},
    {absl::StatusCode::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded", 1,
     "rejected-saturated"},
    {absl::StatusCode::kCancelled, 499, "invalid_request_error", ""},
    {absl::StatusCode::kInternal, 500, "internal_error", ""},
    {absl::StatusCode::kDataLoss, 500, "internal_error", "kv_transfer_failed"},
    {absl::StatusCode::kUnimplemented, 501, "not_supported_error", ""},
    {absl::StatusCode::kUnavailable, 503, "service_unavailable", "", 1},
    {absl::StatusCode::kDeadlineExceeded, 503, "service_unavailable", "deadline_exceeded", 1,
     "rejected-ttl-expired"},
};

const Row& RowOf(absl::StatusCode status) {
  static constexpr Row kOther = {absl::StatusCode::kUnknown, 500, "internal_error", ""};
  for (const Row& row : kTable) {
    if (row.status == status) return row;
  }
  return kOther;
}

std::string Payload(const absl::Status& status, absl::string_view url) {
  const auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

nlohmann::ordered_json StringOrNull(const std::string& value) {
  return value.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(value);
}

}  // namespace

absl::Status WithParam(absl::Status status, absl::string_view param) {
  status.SetPayload(kParamUrl, absl::Cord(param));
  return status;
}

absl::Status WithErrorCode(absl::Status status, absl::string_view code) {
  status.SetPayload(kCodeUrl, absl::Cord(code));
  return status;
}

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  return WithParam(absl::InvalidArgumentError(message), field);
}

absl::Status NotSupported(absl::string_view field, absl::string_view message) {
  return WithParam(absl::UnimplementedError(message), field);
}

std::string ErrorParam(const absl::Status& status) { return Payload(status, kParamUrl); }

ApiError ToApiError(const absl::Status& status) {
  const Row& row = RowOf(status.code());
  std::string code = Payload(status, kCodeUrl);
  return {.http_status = row.http_status,
          .message = std::string(status.message()),
          .type = row.type,
          .param = ErrorParam(status),
          .code = code.empty() ? row.code : code,
          .retry_after_seconds = row.retry_after_seconds,
          .dropped_reason = row.dropped_reason};
}

ApiError HttpProtocolError(int http_status, absl::string_view message) {
  return {.http_status = http_status,
          .message = std::string(message),
          .type = "invalid_request_error",
          .param = "",
          .code = "",
          .retry_after_seconds = 0,
          .dropped_reason = ""};
}

nlohmann::ordered_json ErrorJson(const ApiError& error) {
  nlohmann::ordered_json body = {{"message", error.message},
                                 {"type", error.type},
                                 {"param", StringOrNull(error.param)},
                                 {"code", StringOrNull(error.code)}};
  return {{"error", std::move(body)}};
}

}  // namespace tandem
