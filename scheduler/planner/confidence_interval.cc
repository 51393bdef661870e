#include "scheduler/planner/confidence_interval.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace tandem {
namespace {

// 97.5th percentile of Student's t with `degrees` >= 1 of freedom.
double StudentT(size_t degrees) {
  constexpr double kTable[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646,
                               2.3060,  2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
                               2.1314,  2.1199, 2.1098, 2.1009, 2.0930, 2.0860};
  if (degrees <= std::size(kTable)) return kTable[degrees - 1];
  return 1.95996 + 2.5 / static_cast<double>(degrees);  // within 0.002 of it
}

}  // namespace

MeanInterval MeanWithInterval(absl::Span<const double> samples) {
  if (samples.empty()) return {};
  const auto count = static_cast<double>(samples.size());
  MeanInterval interval;
  interval.mean = std::accumulate(samples.begin(), samples.end(), 0.0) / count;
  if (samples.size() < 2) return interval;
  double squares = 0;
  for (double sample : samples) squares += (sample - interval.mean) * (sample - interval.mean);
  interval.half_width =
      StudentT(samples.size() - 1) * std::sqrt(squares / (count - 1)) / std::sqrt(count);
  return interval;
}

MeanInterval PairedDifference(absl::Span<const double> a, absl::Span<const double> b) {
  std::vector<double> differences(std::min(a.size(), b.size()));
  for (size_t i = 0; i < differences.size(); ++i) differences[i] = a[i] - b[i];
  return MeanWithInterval(differences);
}

}  // namespace tandem
