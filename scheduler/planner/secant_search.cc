#include "scheduler/planner/secant_search.h"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

// Where it falls less there is nothing to be told from it: far below the rate all requests are
// good.
constexpr double kLeastFall = 0.1;
constexpr double kMostFall = 100;
constexpr double kMostStep = 1.4;  // a factor of 4
// Of the share from its target: within this, a straight line says where it is reached. Outside, the
// step is at least 10%.
constexpr double kNear = 0.04;
constexpr double kFarStep = 0.1;

}  // namespace

SecantSearch::SecantSearch(const Options& options)
    : options_(options),
      rate_(options.rate),
      fall_(std::clamp(options.fall, kLeastFall, kMostFall)) {}

void SecantSearch::Add(double share, bool was_cut) {
  const bool holds = share >= options_.target;
  const bool is_near = std::abs(share - options_.target) <= kNear;
  const Point point = {std::log(rate_), share};
  const std::optional<Point>& other = holds ? failing_ : holding_;
  std::optional<Point>& same = holds ? holding_ : failing_;
  double step = (share - options_.target) / fall_;
  if (const std::optional<Point>& second = other ? other : same; second) {
    const double fall = (second->share - share) / (point.x - second->x);
    if (fall >= kLeastFall) {
      fall_ = std::min(fall, kMostFall);
      step = (share - options_.target) / fall_;
    } else if (!other) {
      step = 2 * last_step_;
    }
  }
  if (!other && !is_near) step = std::copysign(std::max(std::abs(step), kFarStep), step);
  // The other end stays where it is, which slows the method down.
  if (other && same && !is_near && holds == last_held_) step = (other->x - point.x) / 2;
  step = std::clamp(step, -kMostStep, kMostStep);

  const double tolerance = std::log1p(options_.tolerance);
  // How it falls here is not as sure as where two runs have shown it.
  const double close = other || same ? tolerance : tolerance / 2;
  const bool is_between = other && std::abs(other->x - point.x) <= tolerance;
  is_done_ = !was_cut && (is_between || (is_near && std::abs(step) <= close));
  same = point;
  last_step_ = step;
  last_held_ = holds;
  rate_ = std::exp(point.x + step);
}

}  // namespace tandem
