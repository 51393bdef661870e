#include "server/cli/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;
using Phase = EngineLoad::Phase;

// 100 tokens, 10 GB and 40 GFLOP in 2 s, on a machine that would need 0.5 s and 1 s for them.
BenchRow MakeRow() {
  BenchRow row;
  row.load = {.phase = Phase::kDecode, .num_sequences = 2, .context = 128, .num_tokens = 50};
  row.work = {.num_steps = 50,
              .weight_bytes = 8'000'000'000,
              .kv_bytes = 2'000'000'000,
              .integer_flop = 30'000'000'000,
              .float_flop = 10'000'000'000};
  row.times = {absl::Seconds(2), absl::Seconds(4), absl::Seconds(1)};
  return row;
}

MachineLimits MakeLimits() {
  MachineLimits limits;
  limits.read_bytes_per_s = 10e9;
  limits.weight_read_bytes_per_s = 20e9;
  limits.integer_flop_per_s = 60e9;
  limits.float_flop_per_s = 20e9;
  limits.weight_bits = 4;
  return limits;
}

BenchReport MakeReport() {
  BenchReport report;
  report.model_name = "tiny";
  report.num_threads = 2;
  report.isa = Isa::kAvx2;
  report.limits = MakeLimits();
  report.rows = {MakeRow()};
  return report;
}

TEST(BenchReportTest, RatesAreThoseOfTheMedianRepetition) {
  const BenchRow row = MakeRow();
  EXPECT_DOUBLE_EQ(row.TokensPerSecond(), 50);
  EXPECT_DOUBLE_EQ(row.MinTokensPerSecond(), 25);
  EXPECT_DOUBLE_EQ(row.MaxTokensPerSecond(), 100);
  EXPECT_DOUBLE_EQ(row.StepMilliseconds(), 40);
  EXPECT_DOUBLE_EQ(row.BytesPerSecond(), 5e9);
  EXPECT_DOUBLE_EQ(row.FlopPerSecond(), 20e9);
}

TEST(BenchReportTest, MedianOfAnEvenNumberIsBetweenTheMiddleTwo) {
  BenchRow row = MakeRow();
  row.times.push_back(absl::Seconds(3));
  EXPECT_DOUBLE_EQ(row.MedianSeconds(), 2.5);
}

TEST(BenchReportTest, SharesCompareWithTheMachineAtItsLimits) {
  const BenchRow row = MakeRow();
  EXPECT_DOUBLE_EQ(row.BandwidthShare(MakeLimits()), 0.25);
  EXPECT_DOUBLE_EQ(row.ArithmeticShare(MakeLimits()), 0.5);
}

TEST(BenchReportTest, TableHasALinePerRow) {
  const std::string table = BenchTable(MakeReport());
  EXPECT_THAT(table, HasSubstr("2 threads, avx2"));
  EXPECT_THAT(table, HasSubstr("decode batch 2 (128..178)"));
  EXPECT_THAT(table, HasSubstr("50.0 (25.0..100.0)"));
}

TEST(BenchReportTest, JsonHasWhatToolsRead) {
  Config config;
  config.set_model("tiny.gguf");
  config.set_batches("2");
  const auto json = BenchJson(MakeReport(), config);
  EXPECT_EQ(json["machine"]["isa"], "avx2");
  EXPECT_EQ(json["model"]["path"], "tiny.gguf");
  EXPECT_EQ(json["options"]["batches"], "2");
  EXPECT_EQ(json["limits"]["integer_weight_bits"], 4);
  ASSERT_EQ(json["rows"].size(), 1u);
  const auto& row = json["rows"][0];
  EXPECT_EQ(row["phase"], "decode");
  EXPECT_EQ(row["batch"], 2);
  EXPECT_EQ(row["context"], 128);
  EXPECT_EQ(row["tokens_per_s"]["median"], 50.0);
  EXPECT_EQ(row["seconds"].size(), 3u);
  EXPECT_EQ(row["kv_bytes_per_step"], 4e7);
  EXPECT_EQ(row["bandwidth_share"], 0.25);
}

}  // namespace
}  // namespace tandem
