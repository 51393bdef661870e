// Mean of a few independent samples, and how sure it is.
#pragma once

#include <cmath>

#include "absl/types/span.h"

namespace tandem {

struct MeanInterval {
  double mean = 0;
  double half_width = 0;  // of the 95% interval (Student's t); 0 for less than two samples

  bool HasZero() const { return std::abs(mean) <= half_width; }
};

MeanInterval MeanWithInterval(absl::Span<const double> samples);

// Of a[i] - b[i], for as many pairs as there are: what both samples of a pair share cancels out.
MeanInterval PairedDifference(absl::Span<const double> a, absl::Span<const double> b);

}  // namespace tandem
