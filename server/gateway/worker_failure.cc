#include "server/gateway/worker_failure.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/gateway/error.h"

namespace tandem {

bool IsWorkerLost(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kFailedPrecondition:  // another epoch: a restart
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return true;
    default:
      return false;
  }
}

// To try again helps where a worker was lost. What the client cannot have caused is ours.
absl::Status ToClientStatus(const absl::Status& status, absl::string_view side,
                            absl::string_view instance) {
  const std::string message =
      absl::StrCat(side, " worker ", instance, ": ",
                   status.message().empty() ? absl::StatusCodeToString(status.code())
                                            : std::string(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
      return absl::UnavailableError(message);
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return absl::InternalError(message);
    default:
      return {status.code(), message};
  }
}

absl::Status ToRouteStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return WithErrorCode(WithParam(status, "model"), "model_not_found");
    case absl::StatusCode::kCancelled:
      return absl::UnavailableError(absl::StrCat("scheduler: ", status.message()));
    case absl::StatusCode::kDeadlineExceeded:
      return absl::UnavailableError("the scheduler did not answer in time (stage: route)");
    default:
      return status;
  }
}

}  // namespace tandem
