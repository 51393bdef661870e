#include "scheduler/planner/traffic_profile.h"

#include <algorithm>
#include <utility>

namespace tandem {
namespace {

bool ArrivedBefore(const TrafficRequest& request, absl::Time time) {
  return request.arrival < time;
}

}  // namespace

TrafficWindow TrafficWindow::After(absl::Time from) const {
  const auto first = std::lower_bound(requests.begin(), requests.end(), from, ArrivedBefore);
  return {.begin = std::clamp(from, begin, end), .end = end, .requests = {first, requests.end()}};
}

TrafficWindow TrafficWindow::Before(absl::Time until) const {
  const auto last = std::lower_bound(requests.begin(), requests.end(), until, ArrivedBefore);
  return {
      .begin = begin, .end = std::clamp(until, begin, end), .requests = {requests.begin(), last}};
}

TrafficWindow TrafficWindow::Latest(int num_requests) const {
  const size_t size = requests.size();
  if (size <= static_cast<size_t>(num_requests)) return *this;
  return After(requests[size - num_requests].arrival);
}

void TrafficProfile::Arrive(TrafficRequest request) {
  if (requests_.empty() && num_dropped_ == 0) begin_ = request.arrival;
  if (!requests_.empty()) request.arrival = std::max(request.arrival, requests_.back().arrival);
  if (request.outcome.kind == TrafficOutcome::Kind::kUnderWay) {
    under_way_[request.id] = num_dropped_ + static_cast<int64_t>(requests_.size());
  }
  num_prefix_keys_ += static_cast<int64_t>(request.prefixes.keys.size());
  requests_.push_back(std::move(request));
  while (static_cast<int>(requests_.size()) > options_.max_requests ||
         (num_prefix_keys_ > options_.max_prefix_keys && requests_.size() > 1)) {
    DropOldest();
  }
}

void TrafficProfile::DropOldest() {
  const TrafficRequest& oldest = requests_.front();
  num_prefix_keys_ -= static_cast<int64_t>(oldest.prefixes.keys.size());
  const auto found = under_way_.find(oldest.id);
  if (found != under_way_.end() && found->second == num_dropped_) under_way_.erase(found);
  requests_.pop_front();
  ++num_dropped_;
  if (!requests_.empty()) begin_ = requests_.front().arrival;
}

void TrafficProfile::End(RequestId id, const TrafficOutcome& outcome) {
  const auto found = under_way_.find(id);
  if (found == under_way_.end()) return;
  requests_[found->second - num_dropped_].outcome = outcome;
  under_way_.erase(found);
}

TrafficWindow TrafficProfile::Recent(const TrafficQuestion& question) const {
  TrafficWindow window{.end = question.now};
  window.begin = std::min(std::max(begin_, question.now - question.length), question.now);
  auto first = std::lower_bound(requests_.begin(), requests_.end(), window.begin, ArrivedBefore);
  const auto last = std::lower_bound(first, requests_.end(), window.end, ArrivedBefore);
  if (last - first > question.max_requests) {
    first = last - question.max_requests;
    window.begin = first->arrival;
  }
  window.requests.assign(first, last);
  return window;
}

}  // namespace tandem
