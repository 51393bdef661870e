// Numbers in order, and what one says of them.
#pragma once

#include <vector>

namespace tandem {

class Samples {
 public:
  Samples() = default;
  explicit Samples(std::vector<double> values);  // any order, no NaN

  bool empty() const { return sorted_.empty(); }
  const std::vector<double>& sorted() const { return sorted_; }

  // All 0 without samples. `percent` in [0, 100], interpolated linearly as numpy does by default;
  // the deviation is the population's.
  double Percentile(double percent) const;
  double Median() const { return Percentile(50); }
  double Mean() const { return mean_; }
  double Deviation() const { return deviation_; }

  // The share of samples at or below `limit`.
  double ShareWithin(double limit) const;

 private:
  std::vector<double> sorted_;
  double mean_ = 0;
  double deviation_ = 0;
};

// A range that holds a share's true value in 95 of 100 cases.
struct ShareInterval {
  double low = 0;
  double high = 1;
};

// Wilson 1927's score interval for `successes` of `trials`; [0, 1] without trials.
ShareInterval WilsonInterval(int successes, int trials);

}  // namespace tandem
