// One connection of the HTTP server; reads Beast and Asio, so only http_*.cc include it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "boost/asio/awaitable.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "server/gateway/asio_strand.h"
#include "server/gateway/http_exchange.h"
#include "server/gateway/http_server.h"

namespace tandem {

// The response of one request as a queue of bytes: the handler fills it, the connection empties it.
// Both on the connection's strand.
class QueuedExchange : public HttpExchange {
 public:
  QueuedExchange(const std::shared_ptr<AsioStrand>& strand, HttpRequest request, bool keep_alive,
                 bool is_http_1_1);

  const HttpRequest& request() const override { return request_; }
  const std::shared_ptr<Strand>& strand() const override { return strand_; }
  void Respond(HttpResponse response) override;
  void BeginStream(HttpResponse head) override;
  void Write(absl::string_view bytes) override;
  void EndStream() override;
  void AbortStream() override;
  bool is_over() const override { return state_ == State::kEnded; }
  size_t num_buffered_bytes() const override { return outbox_.size() + num_in_flight_; }
  void OnDrained(Task task) override { on_drained_ = std::move(task); }
  void OnClosed(Task task) override { on_closed_ = std::move(task); }

 private:
  friend class HttpConnection;
  enum class State { kWaiting, kStreaming, kEnded };

  std::string Head(const HttpResponse& response, bool has_length, size_t length) const;
  void End(bool keep_alive);
  void Wake() { wake_.cancel(); }
  void Drained();
  void Closed();

  const std::shared_ptr<Strand> strand_;
  const HttpRequest request_;
  const bool is_http_1_1_;
  bool keep_alive_;
  State state_ = State::kWaiting;
  std::string outbox_;
  size_t num_in_flight_ = 0;
  Task on_drained_;
  Task on_closed_;
  boost::asio::steady_timer wake_;  // never expires; cancelled when the connection has to look
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // `server` outlives every handler that runs on the event loop.
  HttpConnection(HttpServer& server, uint64_t id, boost::asio::ip::tcp::socket socket,
                 std::shared_ptr<AsioStrand> strand);

  void Start();
  // From any thread. Ends the connection after the response that is being sent, if it is complete.
  void Close();

 private:
  template <typename T>
  using Awaitable = boost::asio::awaitable<T>;

  Awaitable<void> Run();
  // The next request, or null when the connection is over (an error was answered where one can be).
  Awaitable<std::shared_ptr<QueuedExchange>> ReadRequest();
  Awaitable<void> Refuse(int http_status, std::string message);
  Awaitable<void> SendResponse(QueuedExchange& exchange);
  Awaitable<bool> SendAll(std::string bytes);
  Awaitable<void> CloseGently();

  // While a handler works: reads ahead, so that the client's going is noticed.
  void WatchForClose();
  void StopWatching();
  void TakeReadableBytes();

  void SetDeadline(absl::Duration duration);
  void ClearDeadline();
  void CloseSocket();

  HttpServer& server_;
  const uint64_t id_;
  const std::shared_ptr<AsioStrand> strand_;

  // Strand only.
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;          // bytes read and not yet parsed
  std::shared_ptr<QueuedExchange> exchange_;  // the one being answered, or null
  boost::asio::steady_timer deadline_;
  bool timed_out_ = false;
  uint64_t watch_ = 0;  // handlers of an earlier watch do nothing
};

}  // namespace tandem
