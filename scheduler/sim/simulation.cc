#include "scheduler/sim/simulation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tandem {

absl::Status SimulationOptions::Validate() const {
  if (instances.empty()) return absl::InvalidArgumentError("the cluster has no instances");
  if (network_delay < absl::ZeroDuration() || heartbeat <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("network delay or heartbeat is negative");
  }
  if (path && (path->ingress < absl::ZeroDuration() || path->route < absl::ZeroDuration() ||
               path->network < absl::ZeroDuration() || path->detokenize < absl::ZeroDuration())) {
    return absl::InvalidArgumentError("a stage of the requests' path is negative");
  }
  for (double bandwidth : {link_bytes_per_second, node_bytes_per_second}) {
    if (!(bandwidth > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("link bandwidth has to be positive, got ", bandwidth));
    }
  }
  if (!nodes.empty() &&
      (nodes.size() != instances.size() || *std::min_element(nodes.begin(), nodes.end()) < 0)) {
    return absl::InvalidArgumentError("every instance has to have a node, or none");
  }
  if (!(cancel_share >= 0 && cancel_share <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("share of clients that go away has to be within 0 and 1, got ", cancel_share));
  }
  for (const SimFailure& failure : failures) {
    if (failure.instance < 0 || failure.instance >= static_cast<int>(instances.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("a failure names instance ", failure.instance, " of ", instances.size()));
    }
  }
  return absl::OkStatus();
}

void StageTimes::Add(const StageTimes& other) {
  route += other.route;
  prefill_queue += other.prefill_queue;
  prefill += other.prefill;
  transfer += other.transfer;
  decode += other.decode;
}

double SimulationOptions::SlowestLink() const {
  const bool is_one_node = nodes.empty() || std::ranges::count(nodes, nodes[0]) ==
                                                static_cast<std::ptrdiff_t>(nodes.size());
  return is_one_node ? link_bytes_per_second
                     : std::min(link_bytes_per_second, node_bytes_per_second);
}

}  // namespace tandem
