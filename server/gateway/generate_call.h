// One tandem.v1.Inference/Generate call: the samples' output as messages, one write at a time.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "proto/inference.grpc.pb.h"
#include "server/gateway/active_requests.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/generation_group.h"
#include "server/gateway/model_info.h"
#include "server/gateway/prepared_request.h"

namespace tandem {

// Owns itself until gRPC is done with it. gRPC's callbacks post; the rest is on the strand.
class GenerateCall final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                           public GenerationGroupListener,
                           public std::enable_shared_from_this<GenerateCall> {
 public:
  struct Parts {
    const ModelInfo& model;
    const ClusterWatch& cluster;
    ActiveRequests& active_requests;
    GenerationServices services;
    EventLoop& event_loop;
    std::shared_ptr<Strand> strand;
  };

  GenerateCall(const Parts& parts, v1::GenerateRequest request);

  void Start();

  void OnRoute(int sample, absl::string_view path) override {
    summaries_[sample].path = std::string(path);
  }
  void OnDelta(int sample, GenerationDelta delta) override;
  void OnSampleEnd(int sample, const GenerationSummary& summary, bool is_last) override;
  void OnGroupEnd(const absl::Status& status) override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  absl::StatusOr<PreparedRequest> Prepare() const;
  void Begin(PreparedRequest prepared, ActiveRequests::Place place);
  void Refuse(const absl::Status& status);
  v1::GenerateResponse& Queue(int sample);
  void WriteOn();
  void Written(bool ok);
  void Cut(const absl::Status& status);
  void End(const absl::Status& status);

  // Fixed after construction.
  const Parts parts_;
  const v1::GenerateRequest request_;
  const absl::Time arrival_;
  std::shared_ptr<GenerateCall> self_;  // until OnDone

  // Strand only.
  std::string request_id_;
  int num_samples_per_prompt_ = 1;
  PreparedRequest prepared_;
  std::shared_ptr<GenerationGroup> group_;   // null once it ended
  std::deque<v1::GenerateResponse> outbox_;  // the front one is being written if is_writing_
  std::vector<GenerationSummary> summaries_;
  std::optional<absl::Status> end_;  // set: Finish once the outbox is empty
  bool is_writing_ = false;
  bool is_paused_ = false;
  bool is_finished_ = false;
};

}  // namespace tandem
