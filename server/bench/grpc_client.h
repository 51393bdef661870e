// Asks a Tandem server over gRPC (tandem.v1.Inference).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "boost/asio/io_context.hpp"
#include "proto/inference.grpc.pb.h"
#include "server/bench/client.h"

namespace tandem {

struct GrpcClientOptions {
  std::string address;  // host:port
  bool is_chat = false;
  std::string model;
  bool ignore_eos = true;
  absl::Duration timeout = absl::Minutes(10);
  // Told to the server; zero: none.
  absl::Duration ttft_target = absl::ZeroDuration();
  absl::Duration tpot_target = absl::ZeroDuration();
};

// What the server says of its model. UNAVAILABLE where none answers within 10 s.
absl::StatusOr<v1::GetModelInfoResponse> AskModelInfo(const std::string& address);

// RESOURCE_EXHAUSTED answers are requests shed; UNAVAILABLE may also be a lost connection, so it is
// a failure. Each client has a connection of its own.
std::unique_ptr<Client> MakeGrpcClient(const GrpcClientOptions& options,
                                       boost::asio::io_context& context);

}  // namespace tandem
