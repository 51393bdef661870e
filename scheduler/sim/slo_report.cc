#include "scheduler/sim/slo_report.h"

#include <algorithm>
#include <map>
#include <utility>

namespace tandem {
namespace {

using Outcome = RequestRecord::Outcome;

constexpr int kTimelinePoints = 200;
// From a quarter of the targets to four times them, in steps of a fifth of an octave.
constexpr int kScaleSteps = 20;
constexpr double kMinScale = 0.25;
constexpr double kScaleStep = 1.148698354997035;  // 2^(1/5)

bool IsWithin(absl::Duration value, const std::optional<absl::Duration>& target) {
  return !target || value <= *target;
}

void CountOutcomes(absl::Span<const RequestRecord> records, const SloTargets& targets,
                   SloReport& report) {
  report.num_requests = static_cast<int>(records.size());
  for (const RequestRecord& record : records) {
    report.num_served += record.outcome == Outcome::kServed;
    report.num_failed += record.outcome == Outcome::kFailed;
    report.num_shed += record.outcome == Outcome::kShed;
    report.num_good += IsGood(record, targets);
    if (record.outcome != Outcome::kServed) continue;
    report.input_tokens += record.prompt_tokens;
    report.output_tokens += record.output_tokens;
  }
  if (records.empty()) return;
  report.attainment = static_cast<double>(report.num_good) / report.num_requests;
  report.attainment_interval = WilsonInterval(report.num_good, report.num_requests);
}

void CollectSamples(absl::Span<const RequestRecord> records, SloReport& report) {
  std::vector<double> ttft, tpot, itl, latency, lateness;
  for (const RequestRecord& record : records) {
    lateness.push_back(absl::ToDoubleMilliseconds(record.sent - record.scheduled));
    if (record.outcome != Outcome::kServed) continue;
    ttft.push_back(absl::ToDoubleMilliseconds(record.ttft));
    latency.push_back(absl::ToDoubleMilliseconds(record.latency));
    if (record.output_tokens > 1) tpot.push_back(absl::ToDoubleMilliseconds(record.Tpot()));
    itl.insert(itl.end(), record.token_gaps_ms.begin(), record.token_gaps_ms.end());
  }
  report.ttft_ms = Samples(std::move(ttft));
  report.tpot_ms = Samples(std::move(tpot));
  report.itl_ms = Samples(std::move(itl));
  report.latency_ms = Samples(std::move(latency));
  report.lateness_ms = Samples(std::move(lateness));
}

void ComputeRates(absl::Span<const RequestRecord> records, SloReport& report) {
  absl::Duration first = absl::InfiniteDuration(), last = absl::ZeroDuration();
  for (const RequestRecord& record : records) {
    first = std::min(first, record.sent);
    last = std::max(last, record.End());
  }
  if (records.empty() || last <= first) return;
  report.duration = last - first;
  const double seconds = absl::ToDoubleSeconds(report.duration);
  report.goodput = report.num_good / seconds;
  report.request_throughput = report.num_served / seconds;
  report.output_throughput = static_cast<double>(report.output_tokens) / seconds;
  report.total_throughput =
      static_cast<double>(report.input_tokens + report.output_tokens) / seconds;
}

// Tokens of the busiest second. The first comes at the TTFT; the others are spread evenly.
double BusiestSecond(absl::Span<const RequestRecord> records) {
  std::map<int64_t, double> seconds;
  for (const RequestRecord& record : records) {
    if (record.outcome != Outcome::kServed) continue;
    absl::Duration time = record.sent + record.ttft;
    const absl::Duration gap = record.Tpot();
    for (int i = 0; i < record.output_tokens; ++i, time += gap) {
      ++seconds[absl::ToInt64Seconds(time)];
    }
  }
  double most = 0;
  for (const auto& [second, tokens] : seconds) most = std::max(most, tokens);
  return most;
}

// What changes when: requests begin to wait, get their first token, end.
struct LoadChange {
  absl::Duration time;
  int waiting, streaming;
};

std::vector<LoadChange> LoadChanges(absl::Span<const RequestRecord> records) {
  std::vector<LoadChange> changes;
  changes.reserve(3 * records.size());
  for (const RequestRecord& record : records) {
    changes.push_back({record.sent, 1, 0});
    if (record.outcome != Outcome::kServed) {
      changes.push_back({record.End(), -1, 0});
      continue;
    }
    changes.push_back({record.sent + record.ttft, -1, 1});
    changes.push_back({record.End(), 0, -1});
  }
  // What ends at a moment makes room for what begins then.
  std::stable_sort(changes.begin(), changes.end(), [](const auto& a, const auto& b) {
    return std::make_pair(a.time, a.waiting + a.streaming) <
           std::make_pair(b.time, b.waiting + b.streaming);
  });
  return changes;
}

void TraceLoad(absl::Span<const RequestRecord> records, SloReport& report) {
  const std::vector<LoadChange> changes = LoadChanges(records);
  if (changes.empty()) return;
  const absl::Duration step =
      (changes.back().time - changes.front().time) / int64_t{kTimelinePoints};
  LoadPoint load{.time = changes.front().time};
  for (const LoadChange& change : changes) {
    while (step > absl::ZeroDuration() && change.time >= load.time + step) {
      load.time += step;
      report.timeline.push_back(load);
    }
    load.waiting += change.waiting;
    load.streaming += change.streaming;
    report.max_concurrent = std::max(report.max_concurrent, load.waiting + load.streaming);
  }
  load.time = changes.back().time;
  report.timeline.push_back(load);
}

}  // namespace

absl::Duration RequestRecord::Tpot() const {
  if (output_tokens < 2) return absl::ZeroDuration();
  return (latency - ttft) / int64_t{output_tokens - 1};
}

SloTargets SloTargets::Scaled(double factor) const {
  SloTargets scaled = *this;
  for (std::optional<absl::Duration>* target : {&scaled.ttft, &scaled.tpot, &scaled.latency}) {
    if (*target) **target *= factor;
  }
  return scaled;
}

bool IsGood(const RequestRecord& record, const SloTargets& targets) {
  return record.outcome == Outcome::kServed && IsWithin(record.ttft, targets.ttft) &&
         IsWithin(record.Tpot(), targets.tpot) && IsWithin(record.latency, targets.latency);
}

SloReport MakeSloReport(absl::Span<const RequestRecord> records, const SloTargets& targets) {
  SloReport report;
  CountOutcomes(records, targets, report);
  CollectSamples(records, report);
  ComputeRates(records, report);
  report.max_output_per_second = BusiestSecond(records);
  TraceLoad(records, report);
  if (targets.IsEmpty() || records.empty()) return report;
  double scale = kMinScale;
  for (int step = 0; step <= kScaleSteps; ++step, scale *= kScaleStep) {
    const SloTargets scaled = targets.Scaled(scale);
    const auto good = std::count_if(records.begin(), records.end(),
                                    [&](const auto& record) { return IsGood(record, scaled); });
    report.slo_scale.push_back(
        {.scale = scale,
         .attainment = static_cast<double>(good) / static_cast<double>(records.size())});
  }
  return report;
}

const char* OutcomeName(RequestRecord::Outcome outcome) {
  switch (outcome) {
    case Outcome::kServed:
      return "served";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kShed:
      return "shed";
  }
  return "";
}

}  // namespace tandem
