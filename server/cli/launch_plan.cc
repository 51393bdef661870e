#include "server/cli/launch_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "server/cli/config_loader.h"
#include "server/cli/json_text.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;
using Args = std::vector<std::string>;

constexpr char kSchedulerPort[] = "7000";  // as in deploy/compose.yaml

// Instances of one role.
struct RoleLaunch {
  const char* role;
  int count = 0;
  InstanceRanks shape;
  Args flags;  // of their workers
};

// What the simulated workers were given and is not the daemon's default.
absl::StatusOr<Args> WorkerFlags(const ClusterPlanner& planner, const InstanceRanks& shape) {
  ASSIGN_OR_RETURN(const InstanceProfile profile,
                   FindProfile(planner.profiles(), shape.tp, shape.pp, shape.threads));
  ASSIGN_OR_RETURN(const Config defaults,
                   LoadConfig(WORKER, {}, [](const std::string&) { return std::nullopt; }));
  const Config& config = planner.config();
  Args flags;
  const auto add = [&flags](const char* flag, int64_t value, int64_t fallback) {
    if (value != fallback) flags.insert(flags.end(), {flag, absl::StrCat(value)});
  };
  add("--tp", shape.tp, 1);
  add("--pp", shape.pp, 1);
  add("--threads", shape.threads, 0);
  add("--kv-cache-bytes", planner.KvTokens(profile) * profile.kv_bytes_per_token, 0);
  add("--block-size", profile.block_size, defaults.block_size());
  add("--max-num-seqs", config.max_num_seqs(), defaults.max_num_seqs());
  add("--max-num-batched-tokens", config.max_num_batched_tokens(),
      defaults.max_num_batched_tokens());
  add("--prefill-batch-tokens", config.prefill_batch_tokens(), defaults.prefill_batch_tokens());
  add("--max-queued-requests", config.max_queued_requests(), defaults.max_queued_requests());
  if (!config.prefix_caching()) flags.push_back("--no-prefix-caching");
  return flags;
}

absl::StatusOr<std::vector<RoleLaunch>> RolesOf(const ClusterPlanner& planner,
                                                const ClusterPlacement& placement) {
  std::vector<RoleLaunch> roles = {{"prefill", placement.num_prefill, placement.prefill, {}},
                                   {"decode", placement.num_decode, placement.decode, {}},
                                   {"mixed", placement.num_mixed, placement.mixed, {}}};
  for (RoleLaunch& role : roles) {
    if (role.count == 0) continue;
    ASSIGN_OR_RETURN(role.flags, WorkerFlags(planner, role.shape));
  }
  return roles;
}

// What the simulated router was told: the slowest link that KV may take. None where all of it has
// no limit, or no KV travels.
Args RouterFlags(const ClusterPlanner& planner, const ClusterPlacement& placement,
                 bool is_one_node) {
  const ClusterNodes& cluster = planner.cluster();
  const double bandwidth =
      is_one_node ? cluster.within_bytes_per_second
                  : std::min(cluster.within_bytes_per_second, cluster.between_bytes_per_second);
  if (!placement.IsDisaggregated() || !std::isfinite(bandwidth)) return {};
  return {"--kv-bandwidth", absl::StrCat(std::llround(bandwidth))};
}

std::string ModelName(const ClusterPlanner& planner) {
  return planner.config().model().empty() ? "MODEL" : planner.config().model();
}

Args ServeArgs(const std::vector<RoleLaunch>& roles, const Args& router, const std::string& model) {
  Args args = {"serve", "--model", model};
  const Args* flags = nullptr;
  for (const RoleLaunch& role : roles) {
    if (role.count == 0) continue;
    if (flags != nullptr && role.flags != *flags) return {};  // it gives all workers the same ones
    flags = &role.flags;
    args.insert(args.end(), {absl::StrCat("--", role.role), absl::StrCat(role.count)});
  }
  if (flags != nullptr) args.insert(args.end(), flags->begin(), flags->end());
  args.insert(args.end(), router.begin(), router.end());
  return args;
}

bool IsOneNode(const std::vector<std::string>& nodes) {
  return std::all_of(nodes.begin(), nodes.end(), [&](auto& node) { return node == nodes[0]; });
}

std::vector<LaunchProcess> Processes(const std::vector<RoleLaunch>& roles, const Args& router,
                                     const std::string& model,
                                     const std::vector<std::string>& nodes) {
  const bool is_local = IsOneNode(nodes);
  const std::string scheduler =
      absl::StrCat(is_local ? "127.0.0.1" : nodes.front(), ":", kSchedulerPort);
  std::vector<LaunchProcess> processes;
  const auto add = [&](const std::string& node, Args args) {
    if (!is_local) args.insert(args.end(), {"--host", "0.0.0.0"});
    processes.push_back({node, std::move(args)});
  };
  Args scheduler_args = {"scheduler", "--grpc-port", kSchedulerPort};
  scheduler_args.insert(scheduler_args.end(), router.begin(), router.end());
  add(nodes.front(), std::move(scheduler_args));
  add(nodes.front(), {"gateway", "--model", model, "--scheduler", scheduler});
  auto node = nodes.begin();
  for (const RoleLaunch& role : roles) {
    Args args = {"worker",      "--role",  role.role,     "--model", model,
                 "--scheduler", scheduler, "--grpc-port", "0"};
    args.insert(args.end(), role.flags.begin(), role.flags.end());
    for (int i = 0; i < role.count; ++i) add(*node++, args);
  }
  return processes;
}

std::string ComposeOverride(const std::vector<RoleLaunch>& roles, const Args& router,
                            const std::string& title) {
  std::string text =
      absl::StrCat("# ", title, ", as tandem plan found it:\n",
                   "# docker compose -f deploy/compose.yaml -f THIS up\nservices:\n");
  if (!router.empty()) {
    Args args = {"scheduler", "--host", "0.0.0.0", "--grpc-port", kSchedulerPort};
    args.insert(args.end(), router.begin(), router.end());
    absl::StrAppend(&text, "  scheduler:\n    command: ", ordered_json(args).dump(), "\n");
  }
  for (const RoleLaunch& role : roles) {
    absl::StrAppend(&text, "  ", role.role, ":\n    scale: ", role.count, "\n");
    if (role.count == 0) continue;
    Args args = {"worker",
                 "--role",
                 role.role,
                 "--model",
                 "/models/model.gguf",
                 "--scheduler",
                 absl::StrCat("scheduler:", kSchedulerPort),
                 "--host",
                 "0.0.0.0",
                 "--grpc-port",
                 "7001"};
    args.insert(args.end(), role.flags.begin(), role.flags.end());
    absl::StrAppend(&text, "    command: ", JsonText(args, -1), "\n");  // JSON is YAML
  }
  return text;
}

std::string Quoted(const std::string& word) {
  const bool is_plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("-_./:=,+@%", std::string(1, c));
  });
  if (is_plain) return word;
  return absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace

absl::StatusOr<LaunchPlan> MakeLaunchPlan(const ClusterPlanner& planner,
                                          const ClusterPlacement& placement,
                                          const std::vector<std::string>& nodes) {
  ASSIGN_OR_RETURN(const std::vector<RoleLaunch> roles, RolesOf(planner, placement));
  const std::string model = ModelName(planner);
  LaunchPlan plan;
  const Args router = RouterFlags(planner, placement, IsOneNode(nodes));
  plan.processes = Processes(roles, router, model, nodes);
  if (!IsOneNode(nodes)) return plan;
  plan.serve = ServeArgs(roles, router, model);
  plan.compose = ComposeOverride(roles, router, placement.ToString());
  return plan;
}

std::string CommandText(const std::vector<std::string>& args) {
  std::string text = "tandem";
  for (const std::string& arg : args) absl::StrAppend(&text, " ", Quoted(arg));
  return text;
}

std::string LaunchText(const LaunchPlan& plan) {
  if (!plan.serve.empty()) return CommandText(plan.serve);
  std::vector<std::pair<std::string, int>> lines;
  for (const LaunchProcess& process : plan.processes) {
    const std::string line = absl::StrCat(process.node, ": ", CommandText(process.args));
    if (lines.empty() || lines.back().first != line) lines.emplace_back(line, 0);
    ++lines.back().second;
  }
  return absl::StrJoin(lines, "\n          ", [](std::string* out, const auto& line) {
    absl::StrAppend(out, line.second > 1 ? absl::StrCat(line.second, " x ") : "", line.first);
  });
}

ordered_json LaunchJson(const LaunchPlan& plan) {
  ordered_json processes = ordered_json::array();
  for (const LaunchProcess& process : plan.processes) {
    processes.push_back({{"node", process.node}, {"command", CommandText(process.args)}});
  }
  ordered_json json = {{"serve", nullptr}, {"processes", processes}, {"compose", nullptr}};
  if (!plan.serve.empty()) json["serve"] = CommandText(plan.serve);
  if (!plan.compose.empty()) json["compose"] = plan.compose;
  return json;
}

}  // namespace tandem
