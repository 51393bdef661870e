#include "server/cli/profile_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;

// Points whose times `truth` gives; every third repetition was disturbed.
std::vector<ProfilePoint> Points(const LatencyCoefficients& truth) {
  const LatencyModel model = LatencyModel::Create(truth).value();
  std::vector<ProfilePoint> points;
  for (const StepPoint& step : MakeStepGrid({.chunks = {16, 64, 128, 512},
                               .stored = {0, 512, 1536},
                               .batches = {1, 2, 4, 8, 16, 32},
                               .contexts = {32, 512, 2048}})) {
    const absl::Duration time = model.StepTime(step.Shape());
    points.push_back({.step = step, .times = {time, time, 3 * time}});
  }
  return points;
}

constexpr LatencyCoefficients kOneRegime = {.prefill = {5, 0.4, 2e-5}, .decode = {5, 4e-4, 0.5}};
constexpr LatencyCoefficients kTwoRegimes = {.prefill = {20, 0.1, 7e-6},
                                             .decode = {20, 6e-4, 0.04},
                                             .large_decode = {7, 6e-4, 2},
                                             .large_decode_rows = 8};

TEST(ProfileReportTest, FindsTheModelOfTheMedians) {
  ProfileReport report;
  report.points = Points(kOneRegime);
  FitReport(&report);
  EXPECT_LT(report.instance.max_error, 0.01);
  EXPECT_NEAR(report.instance.latency.prefill.token_ms, 0.4, 0.01);
  EXPECT_EQ(report.instance.latency.large_decode_rows, 0);
}

TEST(ProfileReportTest, SplitsDecodingWhereThatHelps) {
  ProfileReport report;
  report.points = Points(kTwoRegimes);
  FitReport(&report);
  EXPECT_EQ(report.instance.latency.large_decode_rows, 8);
  EXPECT_LT(report.DecodeError().max, 0.01);
}

TEST(ProfileReportTest, ShowsEveryPointAndTheErrorOfEachKind) {
  ProfileReport report;
  report.points = Points(kOneRegime);
  report.num_left_out = 7;
  FitReport(&report);
  const std::string table = ProfileTable(report);
  EXPECT_THAT(table, HasSubstr("32 x 2048"));
  EXPECT_THAT(table, HasSubstr("512 behind 1536"));
  EXPECT_THAT(table, HasSubstr("left out 7 steps"));
  const nlohmann::ordered_json json = ProfileReportJson(report);
  EXPECT_EQ(json["points"].size(), report.points.size());
  EXPECT_EQ(json["errors"]["prefill"]["points"], 12);
  EXPECT_TRUE(json["latency"].contains("decode"));
}

}  // namespace
}  // namespace tandem
