// The samples of one request, driven together: they interleave, and fail or end as one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/gateway/generation.h"

namespace tandem {

// Runs on the request's strand. After OnGroupEnd, and after Cancel, nothing more is called.
class GenerationGroupListener {
 public:
  virtual ~GenerationGroupListener() = default;
  virtual void OnRoute(int sample, absl::string_view path) = 0;
  virtual void OnDelta(int sample, GenerationDelta delta) = 0;
  // `is_last`: OnGroupEnd follows in the same task.
  virtual void OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) = 0;
  // OK: every sample has ended. Otherwise the first failure; the other samples were cancelled.
  virtual void OnGroupEnd(const absl::Status& status) = 0;
};

// Owned by its generations, and owns its listener. All methods on the strand.
class GenerationGroup : public GenerationListener,
                        public std::enable_shared_from_this<GenerationGroup> {
 public:
  GenerationGroup(std::shared_ptr<Strand> strand,
                  std::shared_ptr<GenerationGroupListener> listener);

  // Sample i is requests[i]; at least one.
  void Start(const GenerationServices& services, std::vector<GenerationRequest> requests);
  void Cancel();
  void Pause();
  void Resume();

  void OnRoute(int sample, absl::string_view path) override;
  void OnDelta(int sample, GenerationDelta delta) override;
  void OnEnd(int sample, const absl::Status& status, const GenerationSummary& summary) override;

 private:
  const std::shared_ptr<Strand> strand_;
  std::shared_ptr<GenerationGroupListener> listener_;   // null once it ended
  std::vector<std::weak_ptr<Generation>> generations_;  // by sample
  int num_running_ = 0;
};

}  // namespace tandem
