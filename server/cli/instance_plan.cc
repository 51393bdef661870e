#include "server/cli/instance_plan.h"

#include <sched.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tandem {

absl::StatusOr<std::vector<InstancePlan>> PlanInstances(const Config& config,
                                                        const std::vector<int>& cpus) {
  // -1 is "not said": one of each, unless mixed workers were asked for.
  const int64_t fallback = config.mixed() > 0 ? 0 : 1;
  const int64_t prefill = config.prefill() < 0 ? fallback : config.prefill();
  const int64_t decode = config.decode() < 0 ? fallback : config.decode();
  if (config.mixed() == 0 && (prefill == 0 || decode == 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--prefill ", prefill, " --decode ", decode,
                     " cannot serve: give at least one of each, or --mixed 1"));
  }
  std::vector<InstancePlan> plan;
  const auto add = [&plan](const std::string& role, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      plan.push_back({.id = absl::StrCat(role, "-", i), .role = role});
  };
  add("prefill", prefill);
  add("decode", decode);
  add("mixed", config.mixed());

  const int num_cpus = static_cast<int>(cpus.size());
  const int ranks_per_instance = static_cast<int>(config.tp() * config.pp());
  const int num_ranks = static_cast<int>(plan.size()) * ranks_per_instance;
  const int threads =
      config.threads() > 0 ? static_cast<int>(config.threads()) : std::max(1, num_cpus / num_ranks);
  const bool pin = threads * num_ranks <= num_cpus;
  auto next_cpu = cpus.begin();
  for (InstancePlan& instance : plan) {
    instance.threads = threads;
    if (!pin) continue;
    instance.cpus.assign(next_cpu, next_cpu + threads * ranks_per_instance);
    next_cpu += threads * ranks_per_instance;
  }
  return plan;
}

std::vector<int> AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

absl::StatusOr<std::vector<int>> ParseCpuList(const std::string& text) {
  std::vector<int> cpus;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last >= CPU_SETSIZE) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not a core or range of cores"));
    }
    for (int cpu = first; cpu <= last; ++cpu) {
      if (std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) {
        return absl::InvalidArgumentError(absl::StrCat("core ", cpu, " is named twice"));
      }
      cpus.push_back(cpu);
    }
  }
  return cpus;
}

std::string FormatCpuList(const std::vector<int>& cpus) { return absl::StrJoin(cpus, ","); }

}  // namespace tandem
