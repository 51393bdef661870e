#include "scheduler/sim/rate_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem {
namespace {

constexpr double kMostStep = 2;

}  // namespace

RateSearch::RateSearch(const RateSearchOptions& options)
    : options_(options),
      rate_(options.first_rate),
      step_(options.first_step),
      failing_(std::numeric_limits<double>::infinity()) {}

int RateSearch::MaxMisses(int num_requests) const {
  int misses = 0;
  while (misses < num_requests &&
         WilsonInterval(num_good_ + num_requests - misses - 1, num_requests_ + num_requests).high >=
             options_.target) {
    ++misses;
  }
  return misses;
}

void RateSearch::Add(int num_good, int num_requests) {
  num_good_ += num_good;
  num_requests_ += num_requests;
  const ShareInterval interval = WilsonInterval(num_good_, num_requests_);
  if (interval.low >= options_.target) return Decide(true);
  if (interval.high < options_.target) return Decide(false);
  // Nothing was sent: it would go on for ever.
  if (num_requests > 0 && num_requests_ < options_.max_requests) return;
  is_certain_ = false;
  Decide(num_requests_ > 0 && num_good_ >= options_.target * num_requests_);
}

double RateSearch::NextStep() {
  const double step = step_;
  if (step * step <= kMostStep) step_ = step * step;
  return step;
}

void RateSearch::Decide(bool holds) {
  (holds ? holding_ : failing_) = rate_;
  num_good_ = num_requests_ = 0;
  if (holding_ == 0) {
    is_done_ = rate_ <= options_.min_rate;
    rate_ = std::max(rate_ / NextStep(), options_.min_rate);
  } else if (std::isinf(failing_)) {
    is_done_ = rate_ >= options_.max_rate;
    rate_ = std::min(rate_ * NextStep(), options_.max_rate);
  } else {
    is_done_ = failing_ <= holding_ * (1 + options_.tolerance);
    rate_ = std::sqrt(holding_ * failing_);
  }
}

}  // namespace tandem
