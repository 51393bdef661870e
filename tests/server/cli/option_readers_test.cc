#include "server/cli/option_readers.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "server/cli/config_loader.h"

namespace tandem {
namespace {

std::string ModeError(Command command, const std::vector<std::string>& args) {
  const auto config = LoadConfig(command, args, [](const std::string&) { return std::nullopt; });
  EXPECT_TRUE(config.ok()) << config.status();
  return std::string(CheckMode(command, *config).message());
}

TEST(OptionReadersTest, OptionsThatTheModeDoesNotReadAreNamed) {
  const std::string only_compat = "only with --compat", not_compat = "not with --compat";
  EXPECT_EQ(ModeError(SIMULATE, {"--kv-capacity", "x.csv"}),
            "option --kv-capacity: " + only_compat);
  EXPECT_EQ(ModeError(PLAN, {"--max-rate", "4"}), "option --max-rate: " + only_compat);
  EXPECT_EQ(ModeError(PLAN, {"--backend", "vllm"}), "option --backend: " + only_compat);
  EXPECT_EQ(ModeError(PLAN, {"--rates", "1,2"}), "option --rates: only with --theory");
  EXPECT_EQ(ModeError(PLAN, {"--theory", "--kv-tokens", "64"}),
            "option --kv-tokens: not with --theory");
  const std::vector<std::string> compat = {"--compat", "simdistserve"};
  const auto with_compat = [&](Command command, std::vector<std::string> args) {
    args.insert(args.end(), compat.begin(), compat.end());
    return ModeError(command, args);
  };
  EXPECT_EQ(with_compat(SIMULATE, {"--search"}), "option --search: " + not_compat);
  EXPECT_EQ(with_compat(SIMULATE, {"--no-layerwise"}), "option --layerwise: " + not_compat);
  EXPECT_EQ(with_compat(PLAN, {"--trace", "x"}), "option --trace: " + not_compat);
  EXPECT_EQ(with_compat(PLAN, {"--crossover", "slo"}), "option --crossover: " + not_compat);
}

TEST(OptionReadersTest, OptionsOfTheModeAreFine) {
  EXPECT_EQ(ModeError(SIMULATE, {"--search", "--kv-tokens", "64", "--rates", "1"}), "");
  EXPECT_EQ(ModeError(SIMULATE, {"--compat", "simdistserve", "--trace", "x", "--rates", "1"}), "");
  EXPECT_EQ(ModeError(PLAN, {"--compat", "simdistserve", "--max-rate", "4"}), "");
  EXPECT_EQ(ModeError(PLAN, {"--theory", "--rates", "1", "--speedup", "1.7"}), "");
}

}  // namespace
}  // namespace tandem
