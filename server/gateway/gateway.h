// The gateway: OpenAI's API over HTTP and tandem.v1.Inference over gRPC in, token ids to the
// workers out, text back. It keeps nothing that another gateway would need.
//
//   ASSIGN_OR_RETURN(auto gateway, Gateway::Create({.model_path = path, .scheduler = channel}));
//   LOG(INFO) << "listening on port " << gateway->http_port();
//   ...
//   gateway->Shutdown(absl::Seconds(30));
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "server/gateway/local_scheduler.h"
#include "server/gateway/slo.h"

namespace tandem {

struct GatewayOptions {
  std::string host = "127.0.0.1";  // of both ports
  int http_port = 8000;            // 0: any free one, as for grpc_port
  int grpc_port = 8001;
  std::string model_path;  // GGUF file or Hugging Face folder: tokenizer and configuration only
  std::vector<std::string> served_model_names;  // empty: the model's own name
  std::string chat_template_override;           // source text; empty: the model's own
  std::shared_ptr<grpc::Channel> scheduler;
  std::optional<LocalScheduler> local_scheduler;  // the same one, for each request's calls
  std::string version;
  std::vector<std::string> api_keys;  // empty: anyone may ask
  SloClasses slo_classes;

  int64_t max_body_bytes = 16 << 20;
  int max_concurrent_requests = 1024;
  int max_connections = 4096;
  absl::Duration idle_timeout = absl::Seconds(75);   // of a connection between requests
  absl::Duration read_timeout = absl::Seconds(30);   // first byte of a request -> last
  absl::Duration write_timeout = absl::Seconds(30);  // of a reader that takes nothing
  // How long a request whose worker was lost looks for another one.
  absl::Duration replay_timeout = absl::Seconds(15);
  int num_threads = 0;       // of the event loop; 0: one per CPU, at least 2
  bool is_realtime = false;  // these threads have real-time priority
};

// Thread-safe but for Shutdown.
class Gateway {
 public:
  // Loads the tokenizer, listens, and connects to the scheduler, which may start later: until a
  // request can be served, /ready says so. Errors name the file, the option, or the host:port that
  // is taken; errors of EventLoop::Start.
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(GatewayOptions options);
  ~Gateway();  // Shuts down without waiting.

  int http_port() const;
  int grpc_port() const;

  // Not ready at once, new requests are refused (503), running ones have `drain_timeout` to end;
  // the rest gets an error. Returns how many were cut. Blocks; call once.
  int Shutdown(absl::Duration drain_timeout);

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace tandem
