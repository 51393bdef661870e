// HTTP/1.1 server on Boost.Beast: keep-alive, pipelining, chunked streams, limits and time-outs.
//
// A connection is a coroutine on a strand of its own. While a handler works, the connection watches
// its socket, so that a client that goes away is noticed at once and not at the next write.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/gateway/executor.h"
#include "server/gateway/http_exchange.h"

namespace tandem {

class HttpConnection;

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // name or address
  int port = 0;                    // 0: any free one
  int64_t max_body_bytes = 16 << 20;
  uint32_t max_header_bytes = 64 << 10;
  int max_connections = 4096;
  absl::Duration idle_timeout = absl::Seconds(75);   // between requests
  absl::Duration read_timeout = absl::Seconds(30);   // first byte of a request -> last
  absl::Duration write_timeout = absl::Seconds(30);  // without any progress
};

class HttpServer {
 public:
  // Called on the exchange's strand, once per well-formed request.
  using Handler = std::function<void(std::shared_ptr<HttpExchange>)>;
  // Writes the body of an error that the server itself answers (400, 408, 413, 431).
  using ErrorResponder = std::function<HttpResponse(int http_status, absl::string_view message)>;

  // Listens and accepts on `event_loop`, which outlives the server. UNAVAILABLE names host:port
  // when it is taken; INVALID_ARGUMENT when the host does not resolve.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(HttpServerOptions options,
                                                            EventLoop& event_loop, Handler handler,
                                                            ErrorResponder error_responder);
  ~HttpServer();  // The event loop must have stopped.

  int port() const;

  // Accepts no more, closes every connection (a response that is being written is cut) and waits
  // until they are gone. Not on the event loop.
  void Stop();

 private:
  friend class HttpConnection;
  struct Listener;

  HttpServer(HttpServerOptions options, Handler handler, ErrorResponder error_responder);
  absl::Status Listen(EventLoop& event_loop);
  void Forget(uint64_t connection_id);

  const HttpServerOptions options_;
  const Handler handler_;
  const ErrorResponder error_responder_;
  std::unique_ptr<Listener> listener_;

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_connection_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::weak_ptr<HttpConnection>> connections_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
