#include "scheduler/replay/logged_router.h"

#include <utility>

namespace tandem {

LoggedRouter::LoggedRouter(const RouterOptions& options, LineSink sink)
    : router_(options), line_(std::move(sink)) {
  if (line_.is_on()) line_.WriteHeader("router", options);
}

void LoggedRouter::Update(const InstanceView& view, absl::Time now) {
  if (line_.is_on()) {
    const InstanceView* const last = router_.Find(view.id);
    line_.Begin("update");
    line_.Add("now", now);
    line_.Add("id", view.id);
    line_.AddChanged("view", view, last == nullptr ? InstanceView() : *last);
    line_.End();
  }
  router_.Update(view, now);
}

void LoggedRouter::UpdatePrefixes(const InstanceId& id, const PrefixChanges& changes) {
  if (line_.is_on()) {
    line_.Begin("update_prefixes");
    line_.Add("id", id);
    line_.Add("changes", changes);
    line_.End();
  }
  router_.UpdatePrefixes(id, changes);
}

void LoggedRouter::Remove(const InstanceId& id) {
  if (line_.is_on()) {
    line_.Begin("remove");
    line_.Add("id", id);
    line_.End();
  }
  router_.Remove(id);
}

std::vector<InstanceId> LoggedRouter::Tick(absl::Time now) {
  std::vector<InstanceId> expired = router_.Tick(now);
  if (!line_.is_on() || expired.empty()) return expired;
  line_.Begin("tick");
  line_.Add("now", now);
  line_.Add("expired", expired);
  line_.End();
  return expired;
}

absl::StatusOr<RouteDecision> LoggedRouter::Route(const RouteRequest& request, absl::Time now) {
  absl::StatusOr<RouteDecision> decision = router_.Route(request, now);
  if (!line_.is_on()) return decision;
  line_.Begin("route");
  line_.Add("now", now);
  line_.Add("request", request);
  if (decision.ok()) line_.Add("decision", *decision);
  line_.AddRefusal(decision.status());
  line_.End();
  return decision;
}

void LoggedRouter::Complete(RequestId id) {
  if (line_.is_on()) {
    line_.Begin("complete");
    line_.Add("id", id);
    line_.End();
  }
  router_.Complete(id);
}

}  // namespace tandem
