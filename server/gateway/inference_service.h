// tandem.v1.Inference: the client API over gRPC, on the same path as the HTTP endpoints.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/inference.grpc.pb.h"
#include "server/gateway/active_requests.h"
#include "server/gateway/api_request.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/generation.h"
#include "server/gateway/model_info.h"

namespace tandem {

// gRPC's threads only post to a strand per request.
class InferenceService final : public v1::Inference::CallbackService {
 public:
  struct Parts {
    const ModelInfo& model;
    const ClusterWatch& cluster;
    ActiveRequests& active_requests;
    GenerationServices services;
    EventLoop& event_loop;
    std::vector<std::string> api_keys;  // empty: none is needed
  };

  explicit InferenceService(Parts parts) : parts_(std::move(parts)) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context, const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::GetModelInfoResponse* response) override;

 private:
  absl::Status CheckKey(const grpc::CallbackServerContext& context) const;

  const Parts parts_;
};

// A message as the request it means; the same limits as over HTTP, errors name the proto's field.
absl::StatusOr<ApiRequest> FromProto(const v1::GenerateRequest& proto);

// Its latency targets alone, as far as they can be read.
SloWish SloWishOf(const v1::GenerateRequest& proto);

}  // namespace tandem
