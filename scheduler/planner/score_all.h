// Scores candidates on several threads: what the searches of this folder share.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tandem {

struct SearchOptions {
  int num_threads = 1;
  // After each scored candidate, with how many are done; not from two threads at once. May be
  // empty.
  std::function<void(int done, int all)> progress;
};

// The score of each candidate, in their order whatever thread found it. `scorer` is called from
// several threads at once.
template <typename Score, typename Candidate>
std::vector<absl::StatusOr<Score>> ScoreAll(
    absl::Span<const Candidate> candidates,
    const std::function<absl::StatusOr<Score>(const Candidate&)>& scorer,
    const SearchOptions& options) {
  std::vector<absl::StatusOr<Score>> scores(candidates.size(), Score());
  std::atomic<size_t> next = 0;
  std::mutex progress_mutex;
  int num_done = 0;
  const auto work = [&] {
    for (size_t i = next++; i < candidates.size(); i = next++) {
      scores[i] = scorer(candidates[i]);
      const std::lock_guard lock(progress_mutex);
      ++num_done;
      if (options.progress) options.progress(num_done, static_cast<int>(candidates.size()));
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < options.num_threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return scores;
}

}  // namespace tandem
