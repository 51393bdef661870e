// What HTTP headers say about a request: who asks, how soon tokens are wanted, what to tell about
// it.
#pragma once

#include "absl/status/status.h"
#include "server/gateway/api_request.h"
#include "server/gateway/http_exchange.h"
#include "server/gateway/slo.h"

namespace tandem {

// INVALID_ARGUMENT names the header. An unknown class is an error in our own header; in those of
// gateways in front of us, which may have classes for other pools, it counts as none.
absl::Status TakeHeaders(const HttpHeaders& headers, const SloClasses& classes,
                         ApiRequest& request);

// The latency targets alone, as far as they can be read.
SloWish SloWishOf(const HttpHeaders& headers, const SloClasses& classes);

}  // namespace tandem
