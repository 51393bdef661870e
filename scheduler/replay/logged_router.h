// A Router that writes down what it is told and what it decides; see LoggedScheduler.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "scheduler/replay/call_line.h"
#include "scheduler/router.h"

namespace tandem {

// Every call is that of the same name of Router and writes one line: of a report what has changed
// since the instance's last, of prompts the keys of their prefixes, no tokens. A Tick that takes
// nothing out writes none. Without a sink it only passes calls on. One thread.
class LoggedRouter {
 public:
  explicit LoggedRouter(const RouterOptions& options, LineSink sink = nullptr);

  void Update(const InstanceView& view, absl::Time now);
  void UpdatePrefixes(const InstanceId& id, const PrefixChanges& changes);
  void Remove(const InstanceId& id);
  std::vector<InstanceId> Tick(absl::Time now);

  absl::StatusOr<RouteDecision> Route(const RouteRequest& request, absl::Time now);
  void Complete(RequestId id);

  absl::Status CheckServable() const { return router_.CheckServable(); }
  const InstanceView* Find(const InstanceId& id) const { return router_.Find(id); }

 private:
  Router router_;
  CallLine line_;
};

}  // namespace tandem
