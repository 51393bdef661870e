// The HTTP endpoints: what each path does, on top of the request's services.
#pragma once

#include <string>

#include "server/gateway/active_requests.h"
#include "server/gateway/answer.h"
#include "server/gateway/api_request.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/generation.h"
#include "server/gateway/http_call.h"
#include "server/gateway/http_router.h"
#include "server/gateway/metrics.h"
#include "server/gateway/model_info.h"

namespace tandem {

// Thread-safe: every call runs on its exchange's strand. All references outlive it.
class Endpoints {
 public:
  struct Parts {
    const ModelInfo& model;
    const ClusterWatch& cluster;
    ActiveRequests& active_requests;
    Metrics& metrics;
    GenerationServices services;
    EventLoop& event_loop;
    std::string version;
  };

  explicit Endpoints(Parts parts) : parts_(std::move(parts)) {}

  // Adds every path to `router`; this outlives it.
  void AddTo(HttpRouter& router);

 private:
  // EventLoop::Compute, aside if the body is long.
  template <typename Work, typename Then>
  void Compute(const HttpCall& call, Work work, Then then) const;
  void Complete(ApiKind kind, const HttpCall& call) const;
  absl::StatusOr<AnswerParts> Prepare(ApiKind kind, const HttpCall& call) const;
  void Refuse(const HttpCall& call, const absl::Status& status) const;
  void ListModels(const HttpCall& call) const;
  void ShowModel(const HttpCall& call) const;
  absl::StatusOr<Json> Tokenize(const HttpCall& call) const;
  absl::StatusOr<Json> Detokenize(const HttpCall& call) const;
  void Ready(const HttpCall& call) const;
  void ShowMetrics(const HttpCall& call) const;

  Json ModelJson(const std::string& name) const;
  int MaxModelLen() const { return parts_.cluster.MaxModelLen(parts_.model.config.max_position); }

  const Parts parts_;
};

}  // namespace tandem
