#include "server/cli/compat_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
