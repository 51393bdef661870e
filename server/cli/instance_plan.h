// Which worker processes `tandem serve` starts and which cores each gets.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace tandem {

struct InstancePlan {
  std::string id;         // "prefill-0"
  std::string role;       // "prefill", "decode", "mixed"
  int threads = 1;        // of each rank
  std::vector<int> cpus;  // one per thread, rank after rank; empty: not pinned
};

// Deals `cpus` (those this process may run on) out to the instances of `config`. Where there are
// fewer cores than threads, instances share them: then none is pinned. INVALID_ARGUMENT for a set
// of roles that cannot serve, such as prefill workers alone.
absl::StatusOr<std::vector<InstancePlan>> PlanInstances(const Config& config,
                                                        const std::vector<int>& cpus);

// The cores this process may run on.
std::vector<int> AvailableCpus();

// "0,2-3" <-> {0, 2, 3}. INVALID_ARGUMENT names what is malformed.
absl::StatusOr<std::vector<int>> ParseCpuList(const std::string& text);
std::string FormatCpuList(const std::vector<int>& cpus);

}  // namespace tandem
