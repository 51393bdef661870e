// Plays the log of a Router.
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "scheduler/replay/call_player.h"
#include "scheduler/replay/logged_router.h"
#include "scheduler/replay/read_json.h"

namespace tandem {
namespace {

using nlohmann::json;

class RouterPlayer : public CallPlayer {
 public:
  RouterPlayer(const RouterOptions& options, LineSink sink) : router_(options, std::move(sink)) {}

  absl::Status Play(const json& call) override {
    CallReader fields(call);
    const auto name = fields.Get<std::string>("call");
    if (name == "update") return Update(fields);
    if (name == "update_prefixes") return UpdatePrefixes(fields);
    if (name == "route") return Route(fields);
    if (name == "complete") return Complete(fields);
    if (name == "remove") return Remove(fields);
    if (name == "tick") return Tick(fields);
    return absl::DataLossError(absl::StrCat("a router has no call \"", name, "\""));
  }

 private:
  absl::Status Update(CallReader& fields) {
    const auto id = fields.Get<InstanceId>("id");
    const auto now = fields.Get<absl::Time>("now");
    const InstanceView* const last = router_.Find(id);
    InstanceView view = last == nullptr ? InstanceView() : *last;
    view.id = id;
    fields.GetFields("view", &view);
    RETURN_IF_ERROR(fields.status());
    if (view.layout.block_size < 1) return absl::DataLossError("\"block_size\" is below 1");
    router_.Update(view, now);
    return absl::OkStatus();
  }

  absl::Status UpdatePrefixes(CallReader& fields) {
    const auto id = fields.Get<InstanceId>("id");
    const auto changes = fields.Get<PrefixChanges>("changes");
    RETURN_IF_ERROR(fields.status());
    router_.UpdatePrefixes(id, changes);
    return absl::OkStatus();
  }

  absl::Status Route(CallReader& fields) {
    const auto request = fields.Get<RouteRequest>("request");
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    // The decision stands in the line that the call writes.
    router_.Route(request, now).status().IgnoreError();
    return absl::OkStatus();
  }

  absl::Status Complete(CallReader& fields) {
    const auto id = fields.Get<RequestId>("id");
    RETURN_IF_ERROR(fields.status());
    router_.Complete(id);
    return absl::OkStatus();
  }

  absl::Status Remove(CallReader& fields) {
    const auto id = fields.Get<InstanceId>("id");
    RETURN_IF_ERROR(fields.status());
    router_.Remove(id);
    return absl::OkStatus();
  }

  absl::Status Tick(CallReader& fields) {
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    router_.Tick(now);
    return absl::OkStatus();
  }

  LoggedRouter router_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CallPlayer>> MakeRouterPlayer(const json& header, LineSink sink) {
  CallReader fields(header);
  const auto options = fields.Get<RouterOptions>("options");
  RETURN_IF_ERROR(fields.status());
  return std::make_unique<RouterPlayer>(options, std::move(sink));
}

}  // namespace tandem
