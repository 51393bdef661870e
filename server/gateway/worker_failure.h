// What a failed call to a worker or to the scheduler means for the request.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem {

// The worker died, restarted, is draining or has dropped the request: another one can serve it.
// What it says about the request itself, such as a prompt that is too long, is not of this kind.
bool IsWorkerLost(const absl::Status& status);

// A worker's failure as the client should see it; `side` is "prefill" or "decode".
absl::Status ToClientStatus(const absl::Status& status, absl::string_view side,
                            absl::string_view instance);

// The same for a route that was not given.
absl::Status ToRouteStatus(const absl::Status& status);

}  // namespace tandem
