// Mean of a few independent samples, and how sure it is.
#pragma once

#include "absl/types/span.h"

namespace tandem {

struct MeanInterval {
  double mean = 0;
  double half_width = 0;  // of the 95% interval (Student's t); 0 for less than two samples
};

MeanInterval MeanWithInterval(absl::Span<const double> samples);

}  // namespace tandem
