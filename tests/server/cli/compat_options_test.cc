#include "server/cli/compat_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/config_loader.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

Config WithTargets(const std::vector<std::string>& targets) {
  Config config;
  for (const std::string& target : targets) config.add_goodput(target);
  return config;
}

TEST(CompatOptionsTest, TargetsAreReadTogetherOrApart) {
  for (const Config& config :
       {WithTargets({"ttft:250,tpot:100"}), WithTargets({"tpot:100", "ttft:250"}),
        WithTargets({"ttft:250 tpot:100"})}) {
    const auto slo = ParseCompatSlo(config);
    ASSERT_TRUE(slo.ok()) << slo.status();
    EXPECT_EQ(slo->ttft_ms, 250);
    EXPECT_EQ(slo->tpot_ms, 100);
  }
}

TEST(CompatOptionsTest, MalformedTargetsAreNamed) {
  for (const char* target : {"ttft", "ttft:x", "e2e:3", "ttft:-1", "ttft:0"}) {
    const auto slo = ParseCompatSlo(WithTargets({target, "tpot:100"}));
    EXPECT_EQ(slo.status().code(), absl::StatusCode::kInvalidArgument) << target;
    EXPECT_THAT(std::string(slo.status().message()), HasSubstr(target));
  }
  EXPECT_THAT(std::string(ParseCompatSlo(WithTargets({"ttft:250"})).status().message()),
              HasSubstr("both"));
}

std::string ModeError(Command command, const std::vector<std::string>& args) {
  const auto config = LoadConfig(command, args, [](const std::string&) { return std::nullopt; });
  EXPECT_TRUE(config.ok()) << config.status();
  return std::string(CheckModeOptions(command, *config).message());
}

TEST(CompatOptionsTest, OptionsThatTheModeDoesNotReadAreNamed) {
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

TEST(CompatOptionsTest, OptionsOfTheModeAreFine) {
  EXPECT_EQ(ModeError(SIMULATE, {"--search", "--kv-tokens", "64", "--rates", "1"}), "");
  EXPECT_EQ(ModeError(SIMULATE, {"--compat", "simdistserve", "--trace", "x", "--rates", "1"}), "");
  EXPECT_EQ(ModeError(PLAN, {"--compat", "simdistserve", "--max-rate", "4"}), "");
  EXPECT_EQ(ModeError(PLAN, {"--theory", "--rates", "1", "--speedup", "1.7"}), "");
}

TEST(CompatOptionsTest, LengthsComeFromOneSource) {
  Config config;
  EXPECT_EQ(LoadCompatLengths(config, 3).status().code(), absl::StatusCode::kInvalidArgument);
  config.set_synthetic_lengths("16,1500,1,300");
  EXPECT_EQ(LoadCompatLengths(config, 3)->size(), 3);
  config.set_lengths("some.txt");
  EXPECT_EQ(LoadCompatLengths(config, 3).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
