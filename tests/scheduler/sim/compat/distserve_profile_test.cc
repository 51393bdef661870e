#include "scheduler/sim/compat/distserve_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/scheduler/sim/compat/distserve_golden.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr char kCsv[] = "model,tp,pp,max_num_tokens\nm,1,1,100";

std::string ErrorOf(const std::string& json, const std::string& csv = kCsv) {
  const auto profile = DistServeProfile::Parse(json, csv);
  EXPECT_EQ(profile.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(profile.status().message());
}

TEST(DistServeProfileTest, FilesOfDistServeAreRead) {
  const DistServeProfile profile = GoldenProfile("distserve");
  const PhaseModel model = GoldenModel(profile, kOpt13B, 2, 1);
  EXPECT_EQ(model.max_num_tokens, 163008);
  EXPECT_EQ(model.fits.large_batch, 95);
  EXPECT_DOUBLE_EQ(model.fits.prefill[0], 14.742973695171262);
  EXPECT_EQ(GoldenModel(profile, kOpt66B, 2, 2).max_num_tokens, 78512);  // the last line
}

TEST(DistServeProfileTest, APhaseNeedsStepTimesAndCapacity) {
  const DistServeProfile profile = GoldenProfile("distserve");
  EXPECT_THAT(std::string(profile.Find(kOpt13B, 8, 1).status().message()),
              HasSubstr("no step times of facebook/opt-13b at TP 8"));
  EXPECT_THAT(std::string(profile.Find(kOpt13B, 1, 3).status().message()),
              HasSubstr("no KV capacity of facebook/opt-13b at TP 1, PP 3"));
  EXPECT_EQ(profile.Find("opt", 1, 1).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(DistServeProfileTest, WhatIsWrongInAProfileIsNamed) {
  EXPECT_THAT(ErrorOf("["), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(R"({"m": 1})"), HasSubstr("m"));
  EXPECT_THAT(ErrorOf(R"({"m": {"two": {}}})"), HasSubstr("\"two\""));
  EXPECT_THAT(ErrorOf(R"({"m": {"2": {}}})"), HasSubstr("prefill"));
  const std::string fits =
      R"("prefill": [1,2,3], "decoding_smallbs": [1,2,3], "decoding_largebs": [1,2,)";
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({"m": {"1": {)", fits, R"("3"]}}})")),
              HasSubstr("decoding_largebs"));
  EXPECT_THAT(ErrorOf(absl::StrCat(R"({"m": {"1": {)", fits, "3]}}}")),
              HasSubstr("decoding_large_small_bs_threshold"));
}

TEST(DistServeProfileTest, AMalformedCapacityIsNamed) {
  for (const char* line : {"m,1,1", "m,0,1,5", "m,1,x,5", "m,1,1,-5", "m,1,1,5,6"}) {
    EXPECT_THAT(ErrorOf("{}", absl::StrCat(kCsv, "\n", line)), HasSubstr("line 3")) << line;
  }
}

}  // namespace
}  // namespace tandem
