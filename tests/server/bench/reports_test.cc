// The writers, which all take the same runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "server/bench/comparison.h"
#include "server/bench/html_report.h"
#include "server/bench/report_table.h"
#include "server/bench/result_json.h"
#include "server/bench/svg_plot.h"

namespace tandem {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Outcome = RequestRecord::Outcome;

RunResult MakeRun(double rate, double ttft_ms) {
  RunResult run = {.rate = rate, .started = absl::UnixEpoch(), .client_cpu_share = 0.25};
  for (int i = 0; i < 3; ++i) {
    run.records.push_back({.index = i,
                           .scheduled = absl::Seconds(i),
                           .sent = absl::Seconds(i) + absl::Milliseconds(1),
                           .outcome = Outcome::kServed,
                           .ttft = absl::Milliseconds(ttft_ms),
                           .latency = absl::Milliseconds(ttft_ms + 40),
                           .prompt_tokens = 8,
                           .output_tokens = 3,
                           .token_gaps_ms = {15, 25}});
  }
  run.records.push_back({.index = 3,
                         .scheduled = absl::Seconds(3),
                         .sent = absl::Seconds(3),
                         .outcome = Outcome::kShed,
                         .error = "HTTP 429: <later>"});
  return run;
}

RunSeries Series(std::vector<RunResult> runs) {
  RunSeries series = {.tool = "tandem bench 1",
                      .backend = "openai",
                      .server = "http://s",
                      .model = "m<1>",
                      .workload = "8:3",
                      .arrivals = "poisson",
                      .targets = {.ttft = absl::Milliseconds(100), .tpot = absl::Milliseconds(30)},
                      .metadata = {{"machine", "mine"}},
                      .runs = std::move(runs)};
  for (RunResult& run : series.runs) run.report = MakeSloReport(run.records, series.targets);
  return series;
}

TEST(TargetsTest, AreParsedAndWritten) {
  const SloTargets targets = ParseTargets({"ttft:200 tpot:50", "e2el:2000.5"}).value();
  EXPECT_EQ(TargetsText(targets), "ttft:200 tpot:50 e2el:2000.5");
  EXPECT_TRUE(ParseTargets({}).value().IsEmpty());
  for (const char* text : {"ttft", "ttft:", "ttft:x", "ttft:-1", "ttft:1:2", "itl:5", "tpot:nan"}) {
    EXPECT_THAT(ParseTargets({text}).status().message(), HasSubstr(text));
  }
}

TEST(ResultJsonTest, OneRunHasTheKeysOfVllmBenchServe) {
  const auto json =
      ResultJson(Series({MakeRun(2, 50)}), {.percentiles = {50, 99.9}, .is_detailed = true});
  EXPECT_EQ(json["request_rate"], 2);
  EXPECT_EQ(json["backend"], "openai");
  EXPECT_EQ(json["label"], nullptr);
  EXPECT_EQ(json["machine"], "mine");
  EXPECT_EQ(json["num_prompts"], 4);
  EXPECT_EQ(json["completed"], 3);
  EXPECT_EQ(json["failed"], 1);
  EXPECT_EQ(json["shed"], 1);
  EXPECT_EQ(json["total_input_tokens"], 24);
  EXPECT_EQ(json["total_output_tokens"], 9);
  EXPECT_DOUBLE_EQ(json["mean_ttft_ms"], 50);
  EXPECT_DOUBLE_EQ(json["p99.9_ttft_ms"], 50);
  EXPECT_DOUBLE_EQ(json["median_tpot_ms"], 20);
  EXPECT_DOUBLE_EQ(json["mean_itl_ms"], 20);
  EXPECT_DOUBLE_EQ(json["mean_e2el_ms"], 90);
  EXPECT_DOUBLE_EQ(json["attainment"], 0.75);
  EXPECT_GT(json["request_goodput"], 0.9);
  EXPECT_EQ(json["ttfts"].size(), 4u);
  EXPECT_DOUBLE_EQ(json["ttfts"][0], 0.05);
  EXPECT_EQ(json["ttfts"][3], 0);
  EXPECT_DOUBLE_EQ(json["itls"][0][1], 0.025);
  EXPECT_EQ(json["errors"][3], "HTTP 429: <later>");
}

TEST(ResultJsonTest, WithoutTargetsThereIsNoGoodput) {
  RunSeries series = Series({MakeRun(std::numeric_limits<double>::infinity(), 50)});
  series.targets = {};
  const auto json = ResultJson(series, {});
  EXPECT_EQ(json["request_goodput"], nullptr);
  EXPECT_EQ(json["request_rate"], "inf");
  EXPECT_FALSE(json.contains("ttfts"));
}

TEST(ResultJsonTest, SeveralRunsAndASearchAreAList) {
  RunSeries series = Series({MakeRun(2, 50), MakeRun(4, 150)});
  series.search = SearchResult{.attainment = 0.75, .holding = 2, .failing = 4};
  const auto json = ResultJson(series, {});
  EXPECT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["search"]["holding_rate"], 2);
}

TEST(ResultJsonTest, ARecordIsALineOfItsOwn) {
  const RunSeries series = Series({MakeRun(2, 50)});
  const auto served = RecordJson(series.runs[0].records[1], 2, series.targets);
  EXPECT_EQ(served["outcome"], "served");
  EXPECT_EQ(served["good"], true);
  EXPECT_EQ(served["lateness_ms"], 1);
  EXPECT_EQ(served["tpot_ms"], 20);
  EXPECT_FALSE(served.contains("error"));
  const auto shed = RecordJson(series.runs[0].records[3], 2, series.targets);
  EXPECT_EQ(shed["outcome"], "shed");
  EXPECT_FALSE(shed.contains("ttft_ms"));
}

TEST(ReportTableTest, ShowsRunsErrorsAndTheSearch) {
  RunSeries series = Series({MakeRun(2, 50), MakeRun(4, 150)});
  series.search = SearchResult{.attainment = 0.75, .holding = 2, .failing = 4, .is_certain = false};
  const std::string table = ReportTable(series);
  EXPECT_THAT(table, AllOf(HasSubstr("3/0/1"), HasSubstr("75.0%"), HasSubstr("50/50/50"),
                           HasSubstr("2 x shed: HTTP 429: <later>"),
                           HasSubstr(">= 75% of ttft:100 tpot:30: 2 requests/s (4 does not hold)"),
                           HasSubstr("--max-requests")));
}

TEST(ReportTableTest, ErrorsThatDifferInNumbersOnlyAreOneLine) {
  RunResult run = MakeRun(2, 50);
  for (const char* error : {"prompt of 90 tokens", "prompt of 1234 tokens", "lost"}) {
    RequestRecord& record = run.records.emplace_back(run.records.back());
    record.outcome = RequestRecord::Outcome::kFailed;
    record.error = error;
  }
  const std::string table = ReportTable(Series({run}));
  EXPECT_THAT(table, HasSubstr("2 x failed: prompt of 90 tokens (the first; the others differ in "
                               "numbers)\n"));
  EXPECT_THAT(table, HasSubstr("1 x failed: lost\n"));
}

TEST(ReportTableTest, NothingServedShowsNoLatencies) {
  RunResult run = MakeRun(2, 50);
  run.records.erase(run.records.begin(), run.records.begin() + 3);
  EXPECT_THAT(ReportTable(Series({run})), AllOf(HasSubstr("0/0/1"), HasSubstr(" - ")));
}

TEST(HtmlReportTest, IsOnePageThatLoadsNothing) {
  const std::string html = HtmlReport(Series({MakeRun(2, 50), MakeRun(4, 150)}));
  EXPECT_THAT(html,
              AllOf(HasSubstr("<svg"), HasSubstr("Attainment of ttft:100 tpot:30"),
                    HasSubstr("Distribution of TTFT"), HasSubstr("Requests open at 4/s"),
                    HasSubstr("had the targets been"), HasSubstr("m&lt;1&gt;"), HasSubstr("mine")));
  EXPECT_THAT(html,
              AllOf(Not(HasSubstr("src=")), Not(HasSubstr("<script")), Not(HasSubstr("<link")),
                    Not(HasSubstr("@import")), Not(HasSubstr("nan")), Not(HasSubstr("m<1>"))));
}

TEST(HtmlReportTest, RunsWithoutAnyResultAreShownToo) {
  RunSeries series = Series({RunResult{.rate = 2}});
  EXPECT_THAT(HtmlReport(series), AllOf(HasSubstr("</html>"), Not(HasSubstr("nan"))));
  series.runs.clear();
  EXPECT_THAT(HtmlReport(series), HasSubstr("</html>"));
}

TEST(SvgPlotTest, DrawsCurvesWithinTheAxes) {
  const std::string svg =
      RenderPlot({.title = "a & b",
                  .curves = {{.name = "one", .points = {{1, 1}, {10, 5}}, .has_dots = true},
                             {.name = "two", .points = {{1, 2}, {1000, 4}}}},
                  .marks = {{.at = 3, .name = "limit"}},
                  .is_log_x = true});
  EXPECT_THAT(svg, AllOf(HasSubstr("a &amp; b"), HasSubstr("polyline"), HasSubstr("circle"),
                         HasSubstr(">100</text>"), HasSubstr("two"), Not(HasSubstr("nan"))));
}

TEST(SvgPlotTest, AMarkLiesWhereTheAxisSaysOrIsToldInWords) {
  Plot plot = {.curves = {{.name = "one", .points = {{1, 100}}}},
               .marks = {{.at = 250, .name = "target"}}};
  EXPECT_THAT(RenderPlot(plot), AllOf(HasSubstr(">200</text>"), HasSubstr("class=\"mark\"")));
  plot.marks[0].at = 1000;
  EXPECT_THAT(RenderPlot(plot), AllOf(HasSubstr("target 1000, above"), Not(HasSubstr(">200<")),
                                      Not(HasSubstr("class=\"mark\""))));
}

TEST(ComparisonTest, LabelsNameTheColumnsWhereTheyDiffer) {
  const auto result = [](const char* label) {
    return absl::StrCat(R"({"request_rate":4.0,"completed":5,"label":")", label, "\"}");
  };
  EXPECT_THAT(CompareResults({{"a.json", result("before")}, {"b.json", result("after")}}).value(),
              AllOf(HasSubstr("before"), HasSubstr("after"), Not(HasSubstr("a "))));
  EXPECT_THAT(CompareResults({{"first.json", result("x")}, {"other.json", result("x")}}).value(),
              AllOf(HasSubstr("first"), HasSubstr("other")));
}

TEST(ComparisonTest, LaysRatesSideBySide) {
  const std::string one = ResultJson(Series({MakeRun(2, 50), MakeRun(4, 80)}), {}).dump();
  const std::string other = ResultJson(Series({MakeRun(4, 160)}), {}).dump();
  const std::string tables = CompareResults({{.name = "a/one.json", .content = one},
                                             {.name = "two.json", .content = other}})
                                 .value();
  EXPECT_THAT(tables,
              AllOf(HasSubstr("rate 2 req/s"), HasSubstr("rate 4 req/s"), HasSubstr("one"),
                    Not(HasSubstr("a/one")), HasSubstr("160 (+100.0%)"), HasSubstr("0 (-100.0%)")));
}

TEST(ComparisonTest, PlotsACurveForEachFile) {
  const std::string one = ResultJson(Series({MakeRun(2, 50), MakeRun(4, 80)}), {}).dump();
  const char* vllm = R"({"request_rate":4.0,"completed":5,"median_ttft_ms":12.5})";
  const std::string html = ComparisonHtml({{"one.json", one}, {"v<2>.json", vllm}}).value();
  EXPECT_THAT(html, AllOf(HasSubstr("attainment"), HasSubstr("TTFT P50"), HasSubstr("one &nbsp;"),
                          HasSubstr("v&lt;2&gt;"), HasSubstr("rate 4 req/s"),
                          Not(HasSubstr("v<2>")), Not(HasSubstr("nan"))));
}

TEST(ComparisonTest, ReadsResultsOfVllmBenchServe) {
  const char* vllm =
      R"({"request_rate":"inf","completed":5,"median_ttft_ms":12.5,"request_goodput":null})";
  EXPECT_THAT(CompareResults({{"a", vllm}, {"b", vllm}}).value(),
              AllOf(HasSubstr("rate inf"), HasSubstr("12.5 (+0.0%)"), Not(HasSubstr("goodput"))));
}

TEST(ComparisonTest, SurvivesScalesOfOtherTypes) {
  const char* odd = R"({"request_rate":4.0,"completed":5,
                        "slo_scale":[7,{"attainment":"x"},{"attainment":1,"scale":[]}]})";
  EXPECT_TRUE(ComparisonHtml({{"a", odd}, {"b", odd}}).ok());
}

TEST(ComparisonTest, NamesAFileThatIsNoResult) {
  for (const char* content :
       {"", "[]", "{}", "7", R"({"runs":[7]})", R"({"runs":7})", R"({"request_rate":[]})"}) {
    EXPECT_THAT(CompareResults({{"odd.json", content}}).status().message(), HasSubstr("odd.json"))
        << content;
  }
}

}  // namespace
}  // namespace tandem
