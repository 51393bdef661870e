#include "scheduler/sim/samples.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tandem {

Samples::Samples(std::vector<double> values) : sorted_(std::move(values)) {
  if (sorted_.empty()) return;
  std::sort(sorted_.begin(), sorted_.end());
  const auto size = static_cast<double>(sorted_.size());
  for (double value : sorted_) mean_ += value / size;
  double variance = 0;
  for (double value : sorted_) variance += (value - mean_) * (value - mean_) / size;
  deviation_ = std::sqrt(variance);
}

double Samples::Percentile(double percent) const {
  if (sorted_.empty()) return 0;
  const double rank = percent / 100 * static_cast<double>(sorted_.size() - 1);
  const auto below = static_cast<size_t>(
      std::clamp<double>(std::floor(rank), 0, static_cast<double>(sorted_.size() - 1)));
  const size_t above = std::min(below + 1, sorted_.size() - 1);
  const double part = rank - static_cast<double>(below);
  return sorted_[below] + (sorted_[above] - sorted_[below]) * part;
}

double Samples::ShareWithin(double limit) const {
  if (sorted_.empty()) return 0;
  const auto end = std::upper_bound(sorted_.begin(), sorted_.end(), limit);
  return static_cast<double>(end - sorted_.begin()) / static_cast<double>(sorted_.size());
}

ShareInterval WilsonInterval(int successes, int trials) {
  if (trials <= 0) return {};
  constexpr double kZ = 1.959963984540054;  // of a normal distribution's 97.5th percentile
  const double n = trials;
  const double share = successes / n;
  const double scale = 1 / (1 + kZ * kZ / n);
  const double centre = scale * (share + kZ * kZ / (2 * n));
  const double half = scale * kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  return {.low = std::max(0.0, centre - half), .high = std::min(1.0, centre + half)};
}

}  // namespace tandem
