#include "server/cli/plan_queue.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "scheduler/planner/md1.h"

namespace tandem {
namespace {

// A prompt alone, in the chunks that it is cut into.
absl::Duration PromptTime(const LatencyModel& latency, int num_tokens, int chunk) {
  absl::Duration time;
  for (int begin = 0; begin < num_tokens; begin += chunk) {
    time += latency.PrefillTime(std::min(num_tokens, begin + chunk), begin);
  }
  return time;
}

std::string WhyNot(const ClusterPlacement& placement) {
  if (placement.num_mixed > 0) return "prefill shares instances with decoding";
  if (placement.prefill.pp > 2) return "there is a formula for one stage and for two";
  return "";
}

}  // namespace

absl::StatusOr<PrefillTheory> MakePrefillTheory(const ClusterPlanner& planner,
                                                const RankedCluster& winner) {
  const ClusterPlacement& placement = winner.placement;
  PrefillTheory theory = {.reason = WhyNot(placement)};
  if (!theory.reason.empty()) return theory;
  ASSIGN_OR_RETURN(const InstanceProfile profile,
                   FindProfile(planner.profiles(), placement.prefill.tp, placement.prefill.pp,
                               placement.prefill.threads));
  ASSIGN_OR_RETURN(const LatencyModel latency, LatencyModel::Create(profile.latency));
  theory.prompt_s = absl::ToDoubleSeconds(PromptTime(
      latency, std::lround(planner.MeanPromptTokens()), planner.config().max_num_batched_tokens()));
  const PrefillQueue queue = {
      .kind = placement.prefill.pp == 2 ? QueueKind::kInterOp : QueueKind::kOneDevice,
      .service_time = theory.prompt_s};
  // Client, scheduler, gateway, worker; and back.
  const double messages_s = 4 * absl::ToDoubleSeconds(planner.cluster().latency);
  const std::vector<double>& rates = winner.score.samples;
  for (size_t i = 0; i < rates.size(); ++i) {
    const double rate = rates[i] / placement.num_prefill;
    theory.rate += rate / rates.size();
    theory.formula_s += (MeanTtft(queue, rate) + messages_s) / rates.size();
    theory.simulated_s += absl::ToDoubleSeconds(winner.score.mean_ttft[i]) / rates.size();
  }
  return theory;
}

std::string PrefillTheoryText(const PrefillTheory& theory) {
  if (!theory.reason.empty()) return "M/D/1 says nothing here: " + theory.reason;
  const std::string prompts =
      absl::StrFormat("mean prompt %.1f ms, %.3f requests/s on each prefill instance",
                      1000 * theory.prompt_s, theory.rate);
  const std::string simulated = absl::StrFormat("simulated %.1f ms", 1000 * theory.simulated_s);
  if (std::isinf(theory.formula_s)) {
    return absl::StrFormat("M/D/1: no steady state one by one (%s); mean TTFT %s, in batches",
                           prompts, simulated);
  }
  return absl::StrFormat("M/D/1: mean TTFT %.1f ms (%s); %s", 1000 * theory.formula_s, prompts,
                         simulated);
}

nlohmann::ordered_json PrefillTheoryJson(const PrefillTheory& theory) {
  if (!theory.reason.empty()) return nullptr;
  nlohmann::ordered_json json = {{"prompt_s", theory.prompt_s},
                                 {"rate_per_instance", theory.rate},
                                 {"md1_mean_ttft_s", nullptr},
                                 {"simulated_mean_ttft_s", theory.simulated_s}};
  if (!std::isinf(theory.formula_s)) json["md1_mean_ttft_s"] = theory.formula_s;
  return json;
}

}  // namespace tandem
