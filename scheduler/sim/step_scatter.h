// Steps of one shape do not take the same time: other threads and processes, memory, the clock.
#pragma once

#include "scheduler/sim/random.h"

namespace tandem {

// Mean of |taken / foreseen - 1|; 0: every step takes what the latency model says.
struct StepScatter {
  double prefill = 0;  // of steps with prompts
  double decode = 0;

  bool operator==(const StepScatter&) const = default;
};

// What a step takes, as a multiple of its mean: log-normal, mean 1, and about `mean_error` away
// from it, of which more than 1 counts as 1. Draws nothing where it is 0.
double DrawScatter(double mean_error, Random& random);

}  // namespace tandem
