// Does again what a line of an event log says, on a scheduler of its own.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/replay/call_line.h"

namespace tandem {

class CallPlayer {
 public:
  virtual ~CallPlayer() = default;

  // The call of the line, whose outcome goes to the sink as the line that production would write.
  // DATA_LOSS names what is missing in the line, or cannot be.
  virtual absl::Status Play(const nlohmann::json& call) = 0;
};

// On a new InstanceScheduler or Router with the options that stand in `header`, a log's first line.
// DATA_LOSS names the option that cannot be.
absl::StatusOr<std::unique_ptr<CallPlayer>> MakeInstancePlayer(const nlohmann::json& header,
                                                               LineSink sink);
absl::StatusOr<std::unique_ptr<CallPlayer>> MakeRouterPlayer(const nlohmann::json& header,
                                                             LineSink sink);

}  // namespace tandem
