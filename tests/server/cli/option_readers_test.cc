#include "server/cli/option_readers.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "server/cli/config_loader.h"

namespace tandem {
namespace {

// Why `args` are refused; empty: they are not.
std::string ErrorOf(
    Command command, const std::vector<std::string>& args,
    const Environment& environment = [](const std::string&) { return std::nullopt; }) {
  return std::string(LoadConfig(command, args, environment).status().message());
}

TEST(OptionReadersTest, OptionsThatTheModeDoesNotReadAreNamed) {
  struct Case {
    Command command;
    std::vector<std::string> args;
    const char* error;
  };
  const std::string compat = "--compat=simdistserve";
  for (const Case& c : std::vector<Case>{
           {SIMULATE, {"--kv-capacity", "x.csv"}, "option --kv-capacity: only with --compat"},
           {SIMULATE, {"--model", "x"}, "option --model: only with --compat"},
           {PLAN, {"--max-rate", "4"}, "option --max-rate: only with --compat"},
           {PLAN, {"--backend", "vllm"}, "option --backend: only with --compat"},
           {PLAN, {"--rates", "1,2"}, "option --rates: only with --theory"},
           {SIMULATE, {compat, "--search"}, "option --search: not with --compat"},
           {SIMULATE, {compat, "--no-layerwise"}, "option --layerwise: not with --compat"},
           {SIMULATE, {compat, "--threads", "2"}, "option --threads: not with --compat"},
           {PLAN, {compat, "--trace", "x"}, "option --trace: not with --compat"},
           {PLAN, {compat, "--crossover", "slo"}, "option --crossover: not with --compat"},
           {PLAN, {"--theory", "--kv-tokens", "64"}, "option --kv-tokens: not with --theory"},
           {PLAN, {"--theory", "--goodput", "ttft:1"}, "option --goodput: not with --theory"},
           {PLAN, {"--theory", "--requests", "9"}, "option --requests: not with --theory"},
           {PLAN, {"--theory", compat}, "option --compat: not with --theory"},
           {BENCH, {"compare", "a", "b", "--json"}, "option --json: not with compare"},
           {BENCH, {"compare", "a", "b", "--rates=2"}, "option --rates: not with compare"}}) {
    EXPECT_EQ(ErrorOf(c.command, c.args), c.error);
  }
}

TEST(OptionReadersTest, OptionsThatNeedOrExcludeAnotherAreNamed) {
  EXPECT_EQ(ErrorOf(SIMULATE, {"--restart-time", "3s"}),
            "option --restart-time: only with --time-between-failures");
  EXPECT_EQ(ErrorOf(BENCH, {"--burstiness", "2", "--arrivals", "poisson"}),
            "option --burstiness: only with --arrivals gamma");
  EXPECT_EQ(ErrorOf(BENCH, {"--detailed"}), "option --detailed: only with --result or --json");
  EXPECT_EQ(ErrorOf(BENCH, {"--header", "a=b", "--grpc", "h:1"}),
            "option --header: not with --grpc");
  EXPECT_EQ(ErrorOf(PLAN, {"--prompt-tokens", "9", "--lengths", "x"}),
            "option --prompt-tokens: not with --lengths");
  EXPECT_EQ(ErrorOf(BENCH, {"--burstiness", "2", "--arrivals", "gamma"}), "");
  EXPECT_EQ(ErrorOf(BENCH, {"--json", "--detailed"}), "");
}

TEST(OptionReadersTest, WhatAnOptionNeedsIsAskedOnlyOfCommandsThatHaveIt) {
  EXPECT_EQ(ErrorOf(SIMULATE, {"--tolerance", "0.1"}), "option --tolerance: only with --search");
  EXPECT_EQ(ErrorOf(PLAN, {"--tolerance", "0.1"}), "");
}

TEST(OptionReadersTest, OptionsOfTheModeAreFine) {
  EXPECT_EQ(ErrorOf(SIMULATE, {"--search", "--kv-tokens", "64", "--rates", "1"}), "");
  EXPECT_EQ(ErrorOf(SIMULATE, {"--compat", "simdistserve", "--trace", "x"}), "");
  EXPECT_EQ(ErrorOf(PLAN, {"--compat", "simdistserve", "--max-rate", "4"}), "");
  EXPECT_EQ(ErrorOf(PLAN, {"--theory", "--rates", "1", "--speedup", "1.7", "--json"}), "");
  EXPECT_EQ(ErrorOf(BENCH, {"compare", "a.json", "b.json", "--html", "x"}), "");
}

TEST(OptionReadersTest, TheEnvironmentMaySayWhatTheModeDoesNotRead) {
  const Environment environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TANDEM_MODEL") return "x.gguf";
    return std::nullopt;
  };
  EXPECT_EQ(ErrorOf(SIMULATE, {}, environment), "");
}

}  // namespace
}  // namespace tandem
