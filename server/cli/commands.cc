#include "server/cli/commands.h"

#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "server/cli/config_loader.h"
#include "server/cli/option_help.h"
#include "server/cli/rank_command.h"
#include "server/cli/signals.h"

namespace tandem {
namespace {

struct Subcommand {
  const char* name;
  Command command;
  absl::Status (*run)(const Config&);
  const char* summary;
};

constexpr Subcommand kSubcommands[] = {
    {"serve", SERVE, RunServe, "start everything on this machine and serve a model"},
    {"gateway", GATEWAY, RunGateway, "only the HTTP and gRPC front"},
    {"scheduler", SCHEDULER, RunScheduler, "only the cluster view that routes requests"},
    {"worker", WORKER, RunWorker, "only one prefill, decode or mixed worker"},
    {"chat", CHAT, RunChat, "talk to a running server in the terminal"},
    {"bench", BENCH, RunBench, "load a server in an open loop; goodput, and the highest rate"},
    {"bench-engine", BENCH_ENGINE, RunBenchEngine,
     "the engine's speed beside the machine's limits"},
    {"eval", EVAL, RunEval, "perplexity of a text, to compare models and arithmetic"},
    {"profile", PROFILE, RunProfile, "times of the engine's steps, for the simulator"},
    {"simulate", SIMULATE, RunSimulate, "a placement under simulated load"},
    {"plan", PLAN, RunPlan, "the placement with the highest goodput per GPU"},
    {"replay", REPLAY, RunReplay, "event logs again, each decision compared with the logged one"},
    {"quantize", QUANTIZE, RunQuantize, "a smaller GGUF file of a model"},
};

// What stands above a command in the list of all; empty: nothing new.
std::string HeadingOf(Command command) {
  switch (command) {
    case SERVE:
      return "Serve a model:";
    case BENCH:
      return "Measure:";
    case PROFILE:
      return "Simulate and plan:";
    case QUANTIZE:
      return "Others:";
    default:
      return "";
  }
}

std::string Usage() {
  std::string usage = "usage: tandem COMMAND [options]\n";
  for (const Subcommand& subcommand : kSubcommands) {
    const std::string heading = HeadingOf(subcommand.command);
    if (!heading.empty()) absl::StrAppend(&usage, "\n", heading, "\n");
    std::string name = subcommand.name;
    name.resize(14, ' ');
    absl::StrAppend(&usage, "  ", name, subcommand.summary, "\n");
  }
  absl::StrAppend(&usage, "  version       print the version\n\n",
                  "tandem COMMAND --help lists a command's options. To begin with:\n\n",
                  "  tandem serve --model FILE.gguf\n", "  tandem chat\n");
  return usage;
}

const Subcommand* FindSubcommand(const std::string& name) {
  for (const Subcommand& subcommand : kSubcommands) {
    if (name == subcommand.name) return &subcommand;
  }
  return nullptr;
}

int ReportUnknown(const std::string& name) {
  std::vector<std::string> known = {"version"};
  for (const Subcommand& subcommand : kSubcommands) known.push_back(subcommand.name);
  const std::string nearest = NearestName(name, known);
  std::cerr << "tandem: unknown command \"" << name << "\""
            << (nearest.empty() ? "" : "; did you mean " + nearest + "?") << "\n\n"
            << Usage();
  return 2;
}

void SetLogging(const Subcommand& subcommand, const Config& config) {
  const std::string name =
      config.instance_id().empty() ? std::string(subcommand.name) : config.instance_id();
  SetLogProcessName(config.rank() > 0 ? absl::StrCat(name, "/rank-", config.rank()) : name);
  if (config.log_level() == "warning") SetMinLogSeverity(LogSeverity::WARNING);
  if (config.log_level() == "error") SetMinLogSeverity(LogSeverity::ERROR);
}

}  // namespace

const char* TandemVersion() { return TANDEM_VERSION; }

int RunCommand(const std::vector<std::string>& args) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    (args.empty() ? std::cerr : std::cout) << Usage();
    return args.empty() ? 2 : 0;
  }
  if (args[0] == "version" || args[0] == "--version") {
    std::cout << "tandem " << TandemVersion() << std::endl;
    return 0;
  }
  const Subcommand* subcommand = FindSubcommand(args[0]);
  if (subcommand == nullptr) return ReportUnknown(args[0]);
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  for (const std::string& arg : rest) {
    if (arg != "--help" && arg != "-h") continue;
    std::cout << "tandem " << subcommand->name << ": " << subcommand->summary << "\n"
              << OptionHelp(subcommand->command);
    return 0;
  }
  const auto config = LoadConfig(subcommand->command, rest, ProcessEnvironment());
  if (!config.ok()) {
    std::cerr << "tandem " << args[0] << ": " << config.status().message() << std::endl;
    return 2;
  }
  if (config->print_config()) {
    std::cout << ConfigYaml(subcommand->command, *config);
    return 0;
  }
  SetLogging(*subcommand, *config);
  const absl::Status status =
      config->rank() > 0 ? RunRankCommand(*config) : subcommand->run(*config);
  if (status.ok()) return 0;
  // At once: other workers that share the terminal may have the same to say.
  std::cerr << absl::StrCat("tandem ", args[0], ": ", status.message(), "\n") << std::flush;
  return status.code() == absl::StatusCode::kInvalidArgument ? kExitRefused : 1;
}

}  // namespace tandem
