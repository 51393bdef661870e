// How a failure looks to a client: the one table from status codes to HTTP status, error type and
// error code, and the error object of the OpenAI API.
//
//   return WithParam(absl::InvalidArgumentError("temperature must be a number"), "temperature");
//   ...
//   const ApiError error = ToApiError(status);   // 400, "invalid_request_error", param
//   "temperature"
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace tandem {

struct ApiError {
  int http_status = 500;
  std::string message;
  std::string type;
  std::string param;            // empty: null
  std::string code;             // empty: null
  int retry_after_seconds = 0;  // above 0: sent as Retry-After
  std::string dropped_reason;  // x-llm-d-request-dropped-reason, where a policy dropped the request
};

// The status, with the request's field that caused it / the machine-readable code of the error.
// Neither changes the status' code or message.
absl::Status WithParam(absl::Status status, absl::string_view param);
absl::Status WithErrorCode(absl::Status status, absl::string_view code);

// INVALID_ARGUMENT with `field` as param.
absl::Status InvalidField(absl::string_view field, absl::string_view message);
// UNIMPLEMENTED: a field or value that changes the answer and that this build cannot do.
absl::Status NotSupported(absl::string_view field, absl::string_view message);

// Param of a status from WithParam, or empty.
std::string ErrorParam(const absl::Status& status);

// By the table. The status must not be OK.
ApiError ToApiError(const absl::Status& status);

// What only HTTP can get wrong: 404, 405, 408, 413, 415, 431.
ApiError HttpProtocolError(int http_status, absl::string_view message);

// {"error":{"message","type","param","code"}}: always all four keys, null where empty.
nlohmann::ordered_json ErrorJson(const ApiError& error);

}  // namespace tandem
