// Plays the log of an InstanceScheduler.
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "scheduler/replay/call_player.h"
#include "scheduler/replay/logged_scheduler.h"
#include "scheduler/replay/read_json.h"

namespace tandem {
namespace {

using nlohmann::json;

// One element of a commit's output; see AppendOutput. `expected` is the batch's request.
absl::StatusOr<RowOutput> ReadRowOutput(const json& from, RequestId expected) {
  RowOutput row{.request = expected};
  if (from.is_null()) return row;
  if (TokenId token = 0; ReadJson(from, &token)) {
    row.tokens.push_back({.token = token});
    return row;
  }
  if (!from.is_object()) return absl::DataLossError("a row of \"output\" cannot be read");
  CallReader fields(from);
  for (TokenId token : fields.Get<std::vector<TokenId>>("tokens")) {
    row.tokens.push_back({.token = token});
  }
  if (from.contains("request")) row.request = fields.Get<RequestId>("request");
  if (from.contains("status")) row.status = fields.Get<absl::Status>("status");
  std::vector<int> positions;
  if (from.contains("prompt_logprobs") && !ReadRuns(fields.Raw("prompt_logprobs"), &positions)) {
    return absl::DataLossError("\"prompt_logprobs\" are no positions");
  }
  for (int position : positions) row.prompt_logprobs.push_back({.position = position});
  RETURN_IF_ERROR(fields.status());
  return row;
}

class InstancePlayer : public CallPlayer {
 public:
  explicit InstancePlayer(std::unique_ptr<InstanceScheduler> scheduler, LineSink sink)
      : scheduler_(std::move(scheduler), std::move(sink)) {}

  absl::Status Play(const json& call) override {
    CallReader fields(call);
    const auto name = fields.Get<std::string>("call");
    if (const auto found = RequestCalls().find(name); found != RequestCalls().end()) {
      const auto id = fields.Get<RequestId>("id");
      const auto attempt = fields.Get<uint32_t>("attempt");
      const auto now = fields.Get<absl::Time>("now");
      RETURN_IF_ERROR(fields.status());
      (scheduler_.*found->second)(id, attempt, now);
      return absl::OkStatus();
    }
    const auto found = OtherCalls().find(name);
    if (found != OtherCalls().end()) return (this->*found->second)(fields);
    return absl::DataLossError(absl::StrCat("an instance has no call \"", name, "\""));
  }

 private:
  // Those that name a request and a time, nothing else.
  using RequestCall = void (LoggedScheduler::*)(RequestId, uint32_t, absl::Time);
  static const std::map<std::string, RequestCall>& RequestCalls() {
    static const std::map<std::string, RequestCall> kCalls = {
        {"begun", &LoggedScheduler::Begun}, {"recompute", &LoggedScheduler::Recompute},
        {"fence", &LoggedScheduler::Fence}, {"release", &LoggedScheduler::Release},
        {"abort", &LoggedScheduler::Abort},
    };
    return kCalls;
  }

  using OtherCall = absl::Status (InstancePlayer::*)(CallReader&);
  static const std::map<std::string, OtherCall>& OtherCalls() {
    static const std::map<std::string, OtherCall> kCalls = {
        {"add", &InstancePlayer::Add},
        {"expect", &InstancePlayer::Expect},
        {"offer", &InstancePlayer::Offer},
        {"set_lease", &InstancePlayer::SetLease},
        {"schedule", &InstancePlayer::Schedule},
        {"commit", &InstancePlayer::Commit},
        {"fail", &InstancePlayer::Fail},
        {"tick", &InstancePlayer::Tick},
        {"take_events", &InstancePlayer::TakeEvents},
        {"restart_prefixes", &InstancePlayer::RestartPrefixes},
        {"take_prefixes", &InstancePlayer::TakePrefixes},
    };
    return kCalls;
  }

  absl::Status Add(CallReader& fields) {
    auto request = fields.Get<Request>("request");
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    // What became of it stands in the line that the call writes; the same of every other call.
    scheduler_.Add(std::move(request), now).IgnoreError();
    return absl::OkStatus();
  }

  absl::Status Expect(CallReader& fields) {
    auto request = fields.Get<Request>("request");
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    scheduler_.Expect(std::move(request), now).IgnoreError();
    return absl::OkStatus();
  }

  absl::Status Offer(CallReader& fields) {
    const KvHandoff handoff{.id = fields.Get<RequestId>("id"),
                            .attempt = fields.Get<uint32_t>("attempt"),
                            .first_token = fields.Get<TokenId>("first_token")};
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    scheduler_.Offer(handoff, now);
    return absl::OkStatus();
  }

  absl::Status SetLease(CallReader& fields) {
    const auto id = fields.Get<RequestId>("id");
    const auto attempt = fields.Get<uint32_t>("attempt");
    const auto end = fields.Get<absl::Time>("end");
    RETURN_IF_ERROR(fields.status());
    scheduler_.SetLease(id, attempt, end);
    return absl::OkStatus();
  }

  absl::Status Schedule(CallReader& fields) {
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    Batch batch = scheduler_.Schedule(now);
    if (!batch.empty()) in_flight_[batch.step] = std::move(batch);
    return absl::OkStatus();
  }

  absl::Status Commit(CallReader& fields) {
    ASSIGN_OR_RETURN(const Batch batch, TakeBatch(fields));
    const auto now = fields.Get<absl::Time>("now");
    const json& rows = fields.Raw("output");
    RETURN_IF_ERROR(fields.status());
    if (!rows.is_array()) return absl::DataLossError("\"output\" is no array");
    StepOutput output;
    for (size_t i = 0; i < rows.size(); ++i) {
      const RequestId expected = i < batch.rows.size() ? batch.rows[i].request : RequestId();
      ASSIGN_OR_RETURN(RowOutput row, ReadRowOutput(rows[i], expected));
      output.rows.push_back(std::move(row));
    }
    scheduler_.Commit(batch, output, now);
    return absl::OkStatus();
  }

  absl::Status Fail(CallReader& fields) {
    ASSIGN_OR_RETURN(const Batch batch, TakeBatch(fields));
    const auto status = fields.Get<absl::Status>("status");
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    scheduler_.Fail(batch, status, now);
    return absl::OkStatus();
  }

  absl::Status Tick(CallReader& fields) {
    const auto now = fields.Get<absl::Time>("now");
    RETURN_IF_ERROR(fields.status());
    scheduler_.Tick(now);
    return absl::OkStatus();
  }

  absl::Status TakeEvents(CallReader& fields) {
    scheduler_.TakeEvents();
    return absl::OkStatus();
  }

  absl::Status RestartPrefixes(CallReader& fields) {
    scheduler_.RestartPrefixChanges();
    return absl::OkStatus();
  }

  absl::Status TakePrefixes(CallReader& fields) {
    const auto limit = fields.Get<int>("limit");
    RETURN_IF_ERROR(fields.status());
    scheduler_.TakePrefixChanges(limit);
    return absl::OkStatus();
  }

  absl::StatusOr<Batch> TakeBatch(CallReader& fields) {
    const auto step = fields.Get<uint64_t>("step");
    RETURN_IF_ERROR(fields.status());
    const auto found = in_flight_.find(step);
    if (found == in_flight_.end()) {
      return absl::DataLossError(absl::StrCat("step ", step, " is not in flight"));
    }
    Batch batch = std::move(found->second);
    in_flight_.erase(found);
    return batch;
  }

  LoggedScheduler scheduler_;
  std::map<uint64_t, Batch> in_flight_;  // by step
};

}  // namespace

absl::StatusOr<std::unique_ptr<CallPlayer>> MakeInstancePlayer(const json& header, LineSink sink) {
  CallReader fields(header);
  const auto options = fields.Get<InstanceOptions>("options");
  RETURN_IF_ERROR(fields.status());
  auto scheduler = InstanceScheduler::Create(options);
  if (!scheduler.ok()) return absl::DataLossError(scheduler.status().message());
  return std::make_unique<InstancePlayer>(*std::move(scheduler), std::move(sink));
}

}  // namespace tandem
