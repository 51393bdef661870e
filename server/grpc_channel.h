// Channels between the processes of a cluster.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

namespace tandem {

// For control messages. A process that died comes back at the same address within a second; gRPC's
// own backoff between attempts to connect grows to two minutes.
inline std::shared_ptr<grpc::Channel> CreateControlChannel(
    const std::string& address, grpc::ChannelArguments arguments = grpc::ChannelArguments()) {
  constexpr int kReconnectMs = 100;
  constexpr int kMaxReconnectMs = 1000;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace tandem
