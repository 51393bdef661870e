#include "server/cli/profile_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "absl/strings/str_format.h"
#include "scheduler/latency_fit.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

// Twice as many as there are coefficients.
constexpr int64_t kStepsOfARegime = 6;

enum class Kind { kPrefill, kDecode, kMixed };

Kind KindOf(const StepPoint& step) {
  if (step.num_rows == 0) return Kind::kPrefill;
  return step.chunk_tokens == 0 ? Kind::kDecode : Kind::kMixed;
}

double RelativeError(const LatencyModel& model, const ProfilePoint& point) {
  return absl::FDivDuration(model.StepTime(point.step.Shape()), point.Median()) - 1;
}

FitError ErrorOver(const LatencyModel& model, const std::vector<ProfilePoint>& points,
                   const std::function<bool(Kind)>& counts) {
  FitError error;
  for (const ProfilePoint& point : points) {
    if (!counts(KindOf(point.step))) continue;
    const double off = std::abs(RelativeError(model, point));
    error.mean += off;
    error.max = std::max(error.max, off);
    ++error.num_points;
  }
  if (error.num_points > 0) error.mean /= error.num_points;
  return error;
}

LatencyModel FitOf(const std::vector<ProfilePoint>& points, int64_t large_decode_rows) {
  // A grid's steps differ from the first on.
  LatencyFit fit(
      {.forgetting = 1, .large_decode_rows = large_decode_rows, .regime_steps = kStepsOfARegime});
  for (const ProfilePoint& point : points) fit.Observe(point.step.Shape(), point.Median());
  return fit.model();
}

LatencyModel ModelOf(const ProfileReport& report) {
  return LatencyModel::Create(report.instance.latency).value_or(LatencyModel());
}

FitError ErrorOf(const ProfileReport& report, Kind kind) {
  return ErrorOver(ModelOf(report), report.points, [kind](Kind k) { return k == kind; });
}

std::string ErrorText(const char* name, const FitError& error) {
  if (error.num_points == 0) return "";
  return absl::StrFormat("  %s %.1f%% (max %.1f%%, %d points)", name, 100 * error.mean,
                         100 * error.max, error.num_points);
}

std::string DecodeText(const LatencyCoefficients::Decode& decode) {
  return absl::StrFormat("%.4g + %.4g * context + %.4g * rows", decode.base_ms, decode.context_ms,
                         decode.row_ms);
}

ordered_json ErrorJson(const FitError& error) {
  return {{"mean", error.mean}, {"max", error.max}, {"points", error.num_points}};
}

}  // namespace

absl::Duration ProfilePoint::Median() const {
  std::vector<absl::Duration> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

FitError ProfileReport::Error() const {
  return ErrorOver(ModelOf(*this), points, [](Kind) { return true; });
}
FitError ProfileReport::PrefillError() const { return ErrorOf(*this, Kind::kPrefill); }
FitError ProfileReport::DecodeError() const { return ErrorOf(*this, Kind::kDecode); }
FitError ProfileReport::MixedError() const { return ErrorOf(*this, Kind::kMixed); }

LatencyCoefficients FitLatency(const std::vector<ProfilePoint>& points) {
  const auto decodes = [](Kind kind) { return kind == Kind::kDecode; };
  std::set<int> batches;
  for (const ProfilePoint& point : points) {
    if (decodes(KindOf(point.step))) batches.insert(point.step.num_rows);
  }
  LatencyModel best = FitOf(points, 0);
  double best_error = 0.8 * ErrorOver(best, points, decodes).mean;
  // Both regimes need two batch sizes at least, or their slope is a guess.
  for (auto it = batches.begin(); it != batches.end(); ++it) {
    if (std::distance(batches.begin(), it) < 2 || std::distance(it, batches.end()) < 2) continue;
    const LatencyModel model = FitOf(points, *it);
    const double error = ErrorOver(model, points, decodes).mean;
    if (error >= best_error) continue;
    best = model;
    best_error = error;
  }
  return best.coefficients();
}

void FitReport(ProfileReport* report) {
  report->instance.latency = FitLatency(report->points);
  const FitError error = report->Error();
  report->instance.mean_error = error.mean;
  report->instance.max_error = error.max;
}

std::string ProfileTable(const ProfileReport& report) {
  const InstanceProfile& instance = report.instance;
  const LatencyModel model = ModelOf(report);
  std::string table = absl::StrFormat("device   %s\nmodel    %s, tp %d, pp %d\n\n", instance.device,
                                      instance.model, instance.tp, instance.pp);
  table += absl::StrFormat("%-28s %9s %-19s %9s %7s\n", "step", "ms", "(min..max)", "model", "off");
  for (const ProfilePoint& point : report.points) {
    const StepPoint& step = point.step;
    std::string name;
    if (step.num_rows > 0) absl::StrAppendFormat(&name, "%d x %d", step.num_rows, step.context);
    if (step.chunk_tokens > 0) {
      absl::StrAppendFormat(&name, "%s%d behind %d", name.empty() ? "" : " and ", step.chunk_tokens,
                            step.chunk_begin);
    }
    const auto [min, max] = std::minmax_element(point.times.begin(), point.times.end());
    table += absl::StrFormat("%-28s %9.3f %-19s %9.3f %+6.1f%%\n", name,
                             absl::ToDoubleMilliseconds(point.Median()),
                             absl::StrFormat("(%.3f..%.3f)", absl::ToDoubleMilliseconds(*min),
                                             absl::ToDoubleMilliseconds(*max)),
                             absl::ToDoubleMilliseconds(model.StepTime(step.Shape())),
                             100 * RelativeError(model, point));
  }
  const LatencyCoefficients& latency = instance.latency;
  absl::StrAppendFormat(&table, "\nprefill  %.4g + %.4g * tokens + %.4g * tokens^2 ms\n",
                        latency.prefill.base_ms, latency.prefill.token_ms,
                        latency.prefill.square_ms);
  absl::StrAppendFormat(&table, "decode   %s ms\n", DecodeText(latency.decode));
  if (latency.large_decode_rows > 0) {
    absl::StrAppendFormat(&table, "         %s ms from %d rows on\n",
                          DecodeText(latency.large_decode), latency.large_decode_rows);
  }
  absl::StrAppend(&table, "error  ", ErrorText("all", report.Error()),
                  ErrorText("prefill", report.PrefillError()),
                  ErrorText("decode", report.DecodeError()),
                  ErrorText("mixed", report.MixedError()), "\n");
  if (report.num_left_out > 0) {
    absl::StrAppendFormat(&table,
                          "left out %d steps that a worker of these options cannot have: longer "
                          "than the model's context, its KV pool or --max-num-batched-tokens\n",
                          report.num_left_out);
  }
  return table;
}

ordered_json ProfileReportJson(const ProfileReport& report) {
  const LatencyModel model = ModelOf(report);
  ordered_json root = ProfileJson({.instances = {report.instance}})["instances"][0];
  root["errors"] = {{"all", ErrorJson(report.Error())},
                    {"prefill", ErrorJson(report.PrefillError())},
                    {"decode", ErrorJson(report.DecodeError())},
                    {"mixed", ErrorJson(report.MixedError())}};
  ordered_json points = ordered_json::array();
  for (const ProfilePoint& point : report.points) {
    ordered_json times = ordered_json::array();
    for (absl::Duration time : point.times) times.push_back(absl::ToDoubleMilliseconds(time));
    points.push_back({{"chunk_tokens", point.step.chunk_tokens},
                      {"chunk_begin", point.step.chunk_begin},
                      {"rows", point.step.num_rows},
                      {"context", point.step.context},
                      {"times_ms", times},
                      {"model_ms", absl::ToDoubleMilliseconds(model.StepTime(point.step.Shape()))},
                      {"error", RelativeError(model, point)}});
  }
  root["points"] = points;
  return root;
}

}  // namespace tandem
