// One HTTP request and its response, as handlers see them: no sockets, no Beast.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/gateway/executor.h"

namespace tandem {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// Value of the first header of that name (any case), or empty.
absl::string_view FindHeader(const HttpHeaders& headers, absl::string_view name);

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // of the target, before '?'; percent-escapes as sent
  HttpHeaders headers;
  std::string body;
  absl::Time received;  // when its header was complete
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers = {};  // beside Content-Type, Content-Length, Date and Connection
  std::string body = {};
  bool close = false;  // end the connection afterwards
};

// The handler keeps the exchange until it has answered. All calls on strand(); calls after the
// response has ended, or after the client has gone, have no effect.
class HttpExchange {
 public:
  // A stream that is this far ahead of its reader should pause until OnDrained.
  static constexpr size_t kMaxBufferedBytes = 256 * 1024;

  virtual ~HttpExchange() = default;

  virtual const HttpRequest& request() const = 0;
  virtual const std::shared_ptr<Strand>& strand() const = 0;

  // A whole response.
  virtual void Respond(HttpResponse response) = 0;

  // A response whose body comes in pieces: the head (its body is not used), any number of Write,
  // then EndStream, or AbortStream: an end that the client sees as abnormal.
  virtual void BeginStream(HttpResponse head) = 0;
  virtual void Write(absl::string_view bytes) = 0;
  virtual void EndStream() = 0;
  virtual void AbortStream() = 0;

  // The response has ended, or the client has gone.
  virtual bool is_over() const = 0;
  // Bytes that were written and the client has not taken yet.
  virtual size_t num_buffered_bytes() const = 0;
  // `task` runs whenever all bytes have gone out.
  virtual void OnDrained(Task task) = 0;
  // `task` runs once if the client goes, or stops reading for too long, before the response ended.
  virtual void OnClosed(Task task) = 0;
};

}  // namespace tandem
