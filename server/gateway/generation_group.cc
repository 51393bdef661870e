#include "server/gateway/generation_group.h"

#include <utility>

namespace tandem {

GenerationGroup::GenerationGroup(std::shared_ptr<Strand> strand,
                                 std::shared_ptr<GenerationGroupListener> listener)
    : strand_(std::move(strand)), listener_(std::move(listener)) {}

void GenerationGroup::Start(const GenerationServices& services,
                            std::vector<GenerationRequest> requests) {
  num_running_ = static_cast<int>(requests.size());
  std::vector<std::shared_ptr<Generation>> generations;
  for (size_t i = 0; i < requests.size(); ++i) {
    generations.push_back(std::make_shared<Generation>(
        services, std::move(requests[i]), static_cast<int>(i), strand_, shared_from_this()));
    generations_.push_back(generations.back());
  }
  for (const std::shared_ptr<Generation>& generation : generations) generation->Start();
}

void GenerationGroup::Cancel() {
  listener_ = nullptr;
  for (const std::weak_ptr<Generation>& weak : generations_) {
    if (const auto generation = weak.lock()) generation->Cancel();
  }
}

void GenerationGroup::Pause() {
  for (const std::weak_ptr<Generation>& weak : generations_) {
    if (const auto generation = weak.lock()) generation->Pause();
  }
}

void GenerationGroup::Resume() {
  for (const std::weak_ptr<Generation>& weak : generations_) {
    if (const auto generation = weak.lock()) generation->Resume();
  }
}

void GenerationGroup::OnRoute(int sample, absl::string_view path) {
  if (listener_ != nullptr) listener_->OnRoute(sample, path);
}

void GenerationGroup::OnDelta(int sample, GenerationDelta delta) {
  // The listener may cancel the group while it is called.
  if (const auto listener = listener_) listener->OnDelta(sample, std::move(delta));
}

void GenerationGroup::OnEnd(int sample, const absl::Status& status,
                            const GenerationSummary& summary) {
  const auto listener = listener_;
  if (listener == nullptr) return;
  if (!status.ok()) {
    Cancel();
    return listener->OnGroupEnd(status);
  }
  const bool is_last = --num_running_ == 0;
  listener->OnSampleEnd(sample, summary, is_last);
  if (!is_last) return;
  listener_ = nullptr;
  listener->OnGroupEnd(absl::OkStatus());
}

}  // namespace tandem
