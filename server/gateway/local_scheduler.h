// The scheduler where it lives in the gateway's own process (`tandem serve`): asked by a function
// call, which takes microseconds, where a call of gRPC changes threads four times, each of which
// waits for its turn on busy cores.
#pragma once

#include <functional>

#include "absl/status/statusor.h"

namespace tandem {

namespace v1 {
class CompleteRequest;
class RouteRequest;
class RouteResponse;
}  // namespace v1

// As the methods of tandem.v1.Scheduler. Any thread calls them; they do not block.
struct LocalScheduler {
  std::function<absl::StatusOr<v1::RouteResponse>(const v1::RouteRequest&)> route;
  std::function<void(const v1::CompleteRequest&)> complete;
};

}  // namespace tandem
