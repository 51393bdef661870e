// The rate at which attainment passes its target, by the secant method: for where a rate near it is
// known, so that one or two runs tell.
#pragma once

#include <optional>

namespace tandem {

// Passive, as RateSearch is: asks for a rate and is told what share of a run's requests was good.
class SecantSearch {
 public:
  struct Options {
    double target = 0.9;      // the share
    double rate = 1;          // where the search begins
    double fall = 1;          // how fast the share falls there, by the logarithm of the rate
    double tolerance = 0.05;  // ends where the next step is within this, or two rates
  };

  explicit SecantSearch(const Options& options);

  // A run at rate(). Where it was cut, `share` is of its begin alone.
  void Add(double share, bool was_cut);

  bool IsDone() const { return is_done_; }
  double rate() const { return rate_; }  // to be run next; of a search that is done, the result
  double fall() const { return fall_; }  // as the last runs have it

 private:
  struct Point {
    double x = 0;  // logarithm of the rate
    double share = 0;
  };

  const Options options_;
  double rate_, fall_;
  double last_step_ = 0;                    // of the logarithm
  std::optional<Point> holding_, failing_;  // the last of each kind
  bool last_held_ = false;
  bool is_done_ = false;
};

}  // namespace tandem
