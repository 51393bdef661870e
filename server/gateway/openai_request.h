// Parses the JSON of /v1/chat/completions and /v1/completions, field by field.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/gateway/api_request.h"

namespace tandem {

// INVALID_ARGUMENT names the field; UNIMPLEMENTED names one that changes the answer and is not in
// this build. Null means absent; unknown fields are ignored, logged once per name.
absl::StatusOr<ApiRequest> ParseOpenAiRequest(ApiKind kind, absl::string_view body);

}  // namespace tandem
