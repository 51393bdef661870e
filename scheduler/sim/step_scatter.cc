#include "scheduler/sim/step_scatter.h"

#include <algorithm>
#include <cmath>

namespace tandem {

double DrawScatter(double mean_error, Random& random) {
  if (mean_error <= 0) return 1;
  // The deviation of a normal number is sqrt(pi / 2) times its mean distance from the mean.
  const double deviation = std::sqrt(M_PI / 2) * std::min(mean_error, 1.0);
  return std::exp(deviation * random.Normal() - deviation * deviation / 2);
}

}  // namespace tandem
