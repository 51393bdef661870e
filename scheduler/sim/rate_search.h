// Finds the highest rate at which a share of all requests is within its targets.
#pragma once

#include "scheduler/sim/samples.h"

namespace tandem {

struct RateSearchOptions {
  double target = 0.9;      // the share of good requests that a rate must reach
  double first_rate = 1;    // requests per second
  double first_step = 2;    // to the second rate; squared for each further one, up to 2
  double tolerance = 0.05;  // ends when the bracket's ends differ by this share
  int max_requests = 1000;  // at one rate, of all its runs: then the share itself decides
  double max_rate = 1e6;    // ends where even this holds
  double min_rate = 1e-3;   // ends where not even this does
};

// Raises or lowers the rate by growing steps until one that holds and one that does not are known,
// then halves what lies between them (of the logarithm). A rate is measured until its Wilson
// interval lies to one side of the target. Passive: whoever runs loads asks for a rate and says
// what came of it.
class RateSearch {
 public:
  explicit RateSearch(const RateSearchOptions& options);

  bool IsDone() const { return is_done_; }
  double rate() const { return rate_; }  // to be run next, again if the last run did not decide

  // The most misses in a run of `num_requests` at rate() with which the rate may still turn out to
  // hold: after one more, the run's rest cannot change the result.
  int MaxMisses(int num_requests) const;

  // One run at rate(): `num_good` of `num_requests` requests were good.
  void Add(int num_good, int num_requests);

  // The highest rate known to hold and the lowest known not to; 0 and infinity where there is none.
  double holding() const { return holding_; }
  double failing() const { return failing_; }

  // Whether every rate was decided by its interval and not by its share alone.
  bool is_certain() const { return is_certain_; }

 private:
  void Decide(bool holds);
  double NextStep();

  const RateSearchOptions options_;
  double rate_;
  double step_;
  double holding_ = 0;
  double failing_;
  int num_good_ = 0, num_requests_ = 0;  // at rate_
  bool is_certain_ = true;
  bool is_done_ = false;
};

}  // namespace tandem
