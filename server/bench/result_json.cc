#include "server/bench/result_json.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;
using Outcome = RequestRecord::Outcome;

double Ms(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

ordered_json RateJson(double rate) {
  return std::isinf(rate) ? ordered_json("inf") : ordered_json(rate);
}

void AddLatencies(const char* name, const Samples& samples, const std::vector<double>& percentiles,
                  ordered_json& result) {
  result[absl::StrCat("mean_", name, "_ms")] = samples.Mean();
  result[absl::StrCat("median_", name, "_ms")] = samples.Median();
  result[absl::StrCat("std_", name, "_ms")] = samples.Deviation();
  for (double percent : percentiles) {
    result[absl::StrCat("p", percent, "_", name, "_ms")] = samples.Percentile(percent);
  }
}

// vLLM's lists: seconds, in the order of the requests, zeros where none was served.
void AddDetails(const std::vector<RequestRecord>& records, ordered_json& result) {
  ordered_json input_lens = ordered_json::array(), output_lens = input_lens,
               start_times = input_lens, ttfts = input_lens, itls = input_lens,
               latencies = input_lens, errors = input_lens;
  for (const RequestRecord& record : records) {
    const bool is_served = record.outcome == Outcome::kServed;
    ordered_json gaps = ordered_json::array();
    for (double gap : record.token_gaps_ms) gaps.push_back(gap / 1000);
    input_lens.push_back(record.prompt_tokens);
    output_lens.push_back(is_served ? record.output_tokens : 0);
    start_times.push_back(absl::ToDoubleSeconds(record.sent));
    ttfts.push_back(is_served ? absl::ToDoubleSeconds(record.ttft) : 0);
    itls.push_back(is_served ? gaps : ordered_json::array());
    latencies.push_back(is_served ? absl::ToDoubleSeconds(record.latency) : 0);
    errors.push_back(record.error);
  }
  result["input_lens"] = input_lens;
  result["output_lens"] = output_lens;
  result["start_times"] = start_times;
  result["ttfts"] = ttfts;
  result["itls"] = itls;
  result["latencies"] = latencies;
  result["errors"] = errors;
}

// What `vllm bench serve` does not have.
void AddOurs(const RunSeries& series, const RunResult& run, ordered_json& result) {
  const SloReport& report = run.report;
  result["tool"] = series.tool;
  result["server"] = series.server;
  result["workload"] = series.workload;
  result["arrivals"] = series.arrivals;
  result["seed"] = series.seed;
  result["goodput_targets"] = TargetsText(series.targets);
  result["shed"] = report.num_shed;
  result["good"] = report.num_good;
  result["attainment"] = report.attainment;
  result["attainment_low"] = report.attainment_interval.low;
  result["attainment_high"] = report.attainment_interval.high;
  result["stopped"] = run.was_stopped;
  result["lateness_ms"] = {{"mean", report.lateness_ms.Mean()},
                           {"p50", report.lateness_ms.Median()},
                           {"p99", report.lateness_ms.Percentile(99)},
                           {"max", report.lateness_ms.Percentile(100)}};
  if (run.client_cpu_share) result["client_cpu_share"] = *run.client_cpu_share;
  ordered_json scale = ordered_json::array();
  for (const SloScalePoint& point : report.slo_scale) {
    scale.push_back({{"scale", point.scale}, {"attainment", point.attainment}});
  }
  result["slo_scale"] = scale;
}

ordered_json RunJson(const RunSeries& series, const RunResult& run,
                     const ResultJsonOptions& options) {
  const SloReport& report = run.report;
  ordered_json result = {
      {"date", absl::FormatTime("%Y%m%d-%H%M%S", run.started, absl::LocalTimeZone())},
      {"endpoint_type", series.backend},
      {"backend", series.backend},
      {"label", series.label.empty() ? ordered_json(nullptr) : ordered_json(series.label)},
      {"model_id", series.model},
      {"tokenizer_id", series.model},
      {"num_prompts", report.num_requests}};
  for (const auto& [name, value] : series.metadata) result[name] = value;
  result["request_rate"] = RateJson(run.rate);
  result["burstiness"] = RateJson(series.burstiness);
  result["max_concurrency"] = nullptr;
  result["duration"] = absl::ToDoubleSeconds(report.duration);
  result["completed"] = report.num_served;
  result["failed"] = report.num_requests - report.num_served;
  result["total_input_tokens"] = report.input_tokens;
  result["total_output_tokens"] = report.output_tokens;
  result["request_throughput"] = report.request_throughput;
  result["request_goodput"] =
      series.targets.IsEmpty() ? ordered_json(nullptr) : ordered_json(report.goodput);
  result["output_throughput"] = report.output_throughput;
  result["total_token_throughput"] = report.total_throughput;
  result["max_output_tokens_per_s"] = report.max_output_per_second;
  result["max_concurrent_requests"] = report.max_concurrent;
  AddLatencies("ttft", report.ttft_ms, options.percentiles, result);
  AddLatencies("tpot", report.tpot_ms, options.percentiles, result);
  AddLatencies("itl", report.itl_ms, options.percentiles, result);
  AddLatencies("e2el", report.latency_ms, options.percentiles, result);
  AddOurs(series, run, result);
  if (options.is_detailed) AddDetails(run.records, result);
  return result;
}

}  // namespace

ordered_json ResultJson(const RunSeries& series, const ResultJsonOptions& options) {
  if (series.runs.size() == 1 && !series.search) return RunJson(series, series.runs[0], options);
  ordered_json result;
  if (series.search) {
    result["search"] = {{"attainment", series.search->attainment},
                        {"holding_rate", series.search->holding},
                        {"failing_rate", RateJson(series.search->failing)},
                        {"certain", series.search->is_certain},
                        {"stopped", series.search->was_stopped}};
  }
  result["runs"] = ordered_json::array();
  for (const RunResult& run : series.runs) {
    result["runs"].push_back(RunJson(series, run, options));
  }
  return result;
}

ordered_json RecordJson(const RequestRecord& record, double rate, const SloTargets& targets) {
  ordered_json line = {{"rate", RateJson(rate)},
                       {"index", record.index},
                       {"scheduled_ms", Ms(record.scheduled)},
                       {"lateness_ms", Ms(record.sent - record.scheduled)},
                       {"outcome", OutcomeName(record.outcome)},
                       {"good", IsGood(record, targets)},
                       {"prompt_tokens", record.prompt_tokens},
                       {"output_tokens", record.output_tokens},
                       {"cached_tokens", record.cached_tokens}};
  if (record.outcome == Outcome::kServed) {
    line["ttft_ms"] = Ms(record.ttft);
    line["tpot_ms"] = Ms(record.Tpot());
    line["itl_ms"] = record.token_gaps_ms;
  }
  line["e2el_ms"] = Ms(record.latency);
  if (!record.error.empty()) line["error"] = record.error;
  if (!record.slo_class.empty()) line["slo_class"] = record.slo_class;
  if (!record.path.empty()) line["path"] = record.path;
  return line;
}

}  // namespace tandem
