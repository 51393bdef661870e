#include "server/controller/live_profile.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"
#include "scheduler/latency_fit.h"
#include "server/controller/cluster_messages.h"

namespace tandem {
namespace {

// The workers of one (TP, PP, threads).
struct WorkerKind {
  InstanceProfile profile;
  bool needs_prefill = false, needs_decode = false;  // by their roles
  StepLatency prefill, decode;  // of the worker that has made most of these steps
  double sum_of_errors = 0;     // weighted by steps
};

int64_t NumPrefillSteps(const StepCounts& steps) { return steps.prefill + steps.mixed; }
int64_t NumDecodeSteps(const StepCounts& steps) { return steps.decode + steps.mixed; }

void Describe(const v1::RegisterRequest& registration, const InstanceView& view,
              InstanceProfile& profile) {
  const v1::InstanceShape& shape = registration.shape();
  const InstanceOptions budgets = ToBudgets(registration);
  profile.model = registration.model().name();
  profile.device = shape.device();
  profile.tp = std::max(1, shape.tp());
  profile.pp = std::max(1, shape.pp());
  profile.threads = shape.threads();
  profile.block_size = budgets.block_size;
  profile.num_kv_tokens = int64_t{budgets.num_blocks} * budgets.block_size;
  profile.kv_bytes_per_token = view.layout.BlockBytes() / std::max(1, budgets.block_size);
  profile.num_layers = std::max(1, view.layout.num_layers);
  profile.weight_bytes = shape.weight_bytes();
  profile.max_num_batched_tokens = budgets.max_num_batched_tokens;
  profile.prefill_batch_tokens = budgets.prefill_batch_tokens;
}

void AddSteps(const InstanceView& view, WorkerKind& kind) {
  const StepLatency& latency = view.latency;
  kind.needs_prefill |= view.role != InstanceRole::kDecode;
  kind.needs_decode |= view.role != InstanceRole::kPrefill;
  if (NumPrefillSteps(latency.steps) > NumPrefillSteps(kind.prefill.steps)) kind.prefill = latency;
  if (NumDecodeSteps(latency.steps) > NumDecodeSteps(kind.decode.steps)) kind.decode = latency;
  StepCounts& steps = kind.profile.steps;
  steps.prefill += latency.steps.prefill;
  steps.decode += latency.steps.decode;
  steps.mixed += latency.steps.mixed;
  kind.sum_of_errors += latency.mean_error * static_cast<double>(latency.steps.Total());
}

// "7 of 16 steps with prompts".
std::string NeededSteps(const WorkerKind& kind) {
  std::vector<std::string> parts;
  const auto add = [&parts](int64_t made, const char* what) {
    parts.push_back(absl::StrCat(made, " of ", LatencyFit::kEnoughSteps, " steps ", what));
  };
  if (kind.needs_prefill) add(NumPrefillSteps(kind.prefill.steps), "with prompts");
  if (kind.needs_decode) add(NumDecodeSteps(kind.decode.steps), "of decoding");
  return absl::StrJoin(parts, ", ");
}

absl::StatusOr<InstanceProfile> Finish(const WorkerKind& kind) {
  InstanceProfile profile = kind.profile;
  if ((kind.needs_prefill && !kind.prefill.knows_prefill) ||
      (kind.needs_decode && !kind.decode.knows_decode)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "workers of TP %d, PP %d, %d thread%s have not made enough steps yet to tell how long they "
        "take: %s",
        profile.tp, profile.pp, profile.threads, profile.threads == 1 ? "" : "s",
        NeededSteps(kind)));
  }
  if (kind.prefill.knows_prefill) {
    profile.latency.prefill = kind.prefill.coefficients.prefill;
    profile.scatter.prefill = std::min(kind.prefill.mean_error, 1.0);
  }
  if (kind.decode.knows_decode) {
    profile.scatter.decode = std::min(kind.decode.mean_error, 1.0);
    const LatencyCoefficients& learnt = kind.decode.coefficients;
    profile.latency.decode = learnt.decode;
    profile.latency.large_decode = learnt.large_decode;
    profile.latency.large_decode_rows = learnt.large_decode_rows;
  }
  if (const int64_t steps = profile.steps.Total(); steps > 0) {
    profile.mean_error = kind.sum_of_errors / static_cast<double>(steps);
  }
  return profile;
}

RequestPath ToPath(const v1::RequestPath& from) {
  RequestPath path{.ingress = absl::Milliseconds(from.ingress_ms()),
                   .route = absl::Milliseconds(from.route_ms()),
                   .network = absl::Milliseconds(from.network_ms()),
                   .detokenize = absl::Milliseconds(from.detokenize_ms()),
                   .num_requests = from.requests()};
  if (from.handoffs() > 0) {
    path.kv_exposed = absl::Milliseconds(from.kv_exposed_ms());
    path.num_handoffs = from.handoffs();
  }
  return path;
}

}  // namespace

absl::StatusOr<Profile> LiveProfile(const v1::ClusterState& cluster, const v1::RequestPath* path) {
  std::map<std::tuple<int, int, int>, WorkerKind> kinds;
  for (const v1::InstanceState& instance : cluster.instances()) {
    const v1::InstanceShape& shape = instance.registration().shape();
    ASSIGN_OR_RETURN(const InstanceView view, ToView(instance));
    WorkerKind& kind = kinds[{shape.tp(), shape.pp(), shape.threads()}];
    Describe(instance.registration(), view, kind.profile);
    AddSteps(view, kind);
  }
  if (kinds.empty()) return absl::FailedPreconditionError("the cluster has no workers");
  Profile profile;
  for (const auto& [shape, kind] : kinds) {
    ASSIGN_OR_RETURN(InstanceProfile instance, Finish(kind));
    profile.instances.push_back(std::move(instance));
  }
  if (path != nullptr && path->requests() > 0) profile.path = ToPath(*path);
  return profile;
}

}  // namespace tandem
