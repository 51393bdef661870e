#include "server/gateway/error.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "server/gateway/http_call.h"

namespace tandem {
namespace {

struct ErrorCase {
  absl::StatusCode status;
  int http_status;
  const char* type;
  const char* code;
  bool may_retry;
};

class ErrorTableTest : public ::testing::TestWithParam<ErrorCase> {};

TEST_P(ErrorTableTest, MapsStatusToHttp) {
  const ErrorCase& expected = GetParam();
  const ApiError error = ToApiError(absl::Status(expected.status, "why"));
  EXPECT_EQ(error.http_status, expected.http_status);
  EXPECT_EQ(error.type, expected.type);
  EXPECT_EQ(error.code, expected.code);
  EXPECT_EQ(error.message, "why");
  EXPECT_EQ(error.retry_after_seconds > 0, expected.may_retry);
}

using Code = absl::StatusCode;
INSTANTIATE_TEST_SUITE_P(
    Table, ErrorTableTest,
    ::testing::Values(
        ErrorCase{Code::kInvalidArgument, 400, "invalid_request_error", "", false},
        ErrorCase{Code::kUnauthenticated, 401, "invalid_request_error", "invalid_api_key", false},
        ErrorCase{Code::kNotFound, 404, "invalid_request_error", "", false},
        ErrorCase{Code::kFailedPrecondition, 409, "invalid_request_error", "", false},
        ErrorCase{Code::kResourceExhausted, 429, "rate_limit_error", "rate_limit_exceeded", true},
        ErrorCase{Code::kCancelled, 499, "invalid_request_error", "", false},
        ErrorCase{Code::kInternal, 500, "internal_error", "", false},
        ErrorCase{Code::kUnknown, 500, "internal_error", "", false},
        ErrorCase{Code::kDataLoss, 500, "internal_error", "kv_transfer_failed", false},
        ErrorCase{Code::kUnimplemented, 501, "not_supported_error", "", false},
        ErrorCase{Code::kUnavailable, 503, "service_unavailable", "", true},
        ErrorCase{Code::kDeadlineExceeded, 503, "service_unavailable", "deadline_exceeded", true}));

TEST(ErrorJsonTest, AlwaysHasAllFourKeys) {
  const nlohmann::ordered_json json =
      ErrorJson(ToApiError(InvalidField("temperature", "must be a number")));
  EXPECT_EQ(json.dump(), R"({"error":{"message":"must be a number","type":"invalid_request_error",)"
                         R"("param":"temperature","code":null}})");
}

TEST(ErrorJsonTest, KeepsACodeOfItsOwn) {
  const absl::Status status =
      WithErrorCode(WithParam(absl::NotFoundError("no"), "model"), "model_not_found");
  const nlohmann::ordered_json error = ErrorJson(ToApiError(status))["error"];
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["param"], "model");
  EXPECT_EQ(status.message(), "no");
}

TEST(ErrorResponseTest, TellsWhenToRetryAndWhyItWasDropped) {
  const HttpResponse response = ErrorResponse(ToApiError(absl::ResourceExhaustedError("full")));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(FindHeader(response.headers, "retry-after"), "1");
  EXPECT_EQ(FindHeader(response.headers, "x-llm-d-request-dropped-reason"), "rejected-saturated");
}

TEST(ErrorResponseTest, HasNoRetryAfterWhereRetryingCannotHelp) {
  const HttpResponse response = ErrorResponse(ToApiError(absl::InvalidArgumentError("bad")));
  EXPECT_EQ(FindHeader(response.headers, "retry-after"), "");
}

}  // namespace
}  // namespace tandem
