// absl::Status and grpc::Status have the same codes; this crosses between them.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace tandem {

absl::Status FromGrpc(const grpc::Status& status);

// The field or code of an error (see error.h) does not travel; messages name them anyway.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace tandem
