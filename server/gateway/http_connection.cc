#include "server/gateway/http_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "boost/asio/bind_executor.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/detached.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/redirect_error.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/beast/http/error.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"
#include "boost/beast/http/string_body.hpp"
#include "engine/core/log.h"

namespace tandem {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using RequestParser = http::request_parser<http::string_body>;

// What a client may send ahead of the response it waits for. Beyond it the rest stays in the
// kernel, and its going is noticed at the next write only.
constexpr size_t kMaxPipelinedBytes = 64 * 1024;

// How much of a refused request is read, and for how long, so that closing does not reset the
// connection before the client has read the refusal.
constexpr size_t kMaxDiscardedBytes = 8 << 20;
constexpr absl::Duration kDiscardTimeout = absl::Seconds(2);

auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

std::string ToString(boost::beast::string_view view) { return {view.data(), view.size()}; }

HttpRequest ToHttpRequest(const http::request<http::string_body>& message, absl::Time received) {
  HttpRequest request{.method = ToString(message.method_string()),
                      .path = ToString(message.target().substr(0, message.target().find('?'))),
                      .headers = {},
                      .body = {},
                      .received = received};
  for (const auto& field : message) {
    request.headers.emplace_back(ToString(field.name_string()), ToString(field.value()));
  }
  return request;
}

// The answer to a request that could not be read; 0: none, the client has gone.
int HttpStatusOf(error_code error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  const bool is_syntax =
      error.category() == http::make_error_code(http::error::bad_line_ending).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message;
  return is_syntax ? 400 : 0;
}

}  // namespace

HttpConnection::HttpConnection(HttpServer& server, uint64_t id, asio::ip::tcp::socket socket,
                               std::shared_ptr<AsioStrand> strand)
    : server_(server),
      id_(id),
      strand_(std::move(strand)),
      socket_(std::move(socket)),
      deadline_(strand_->executor(), asio::steady_timer::time_point::max()) {}

void HttpConnection::Start() {
  asio::co_spawn(
      strand_->executor(), [self = shared_from_this()] { return self->Run(); }, asio::detached);
}

void HttpConnection::Close() {
  strand_->Post([self = shared_from_this()] {
    // A response that is complete but for the sending goes out first.
    if (self->exchange_ != nullptr && self->exchange_->state_ == QueuedExchange::State::kEnded) {
      self->exchange_->keep_alive_ = false;
    } else {
      self->CloseSocket();
    }
  });
}

asio::awaitable<void> HttpConnection::Run() {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  for (;;) {
    exchange_ = co_await ReadRequest();
    if (exchange_ == nullptr) break;
    WatchForClose();
    server_.handler_(exchange_);
    co_await SendResponse(*exchange_);
    StopWatching();
    if (!exchange_->keep_alive_) break;
    exchange_ = nullptr;  // Idle from here on: Close need not wait for a response.
  }
  exchange_ = nullptr;
  co_await CloseGently();
  server_.Forget(id_);
}

asio::awaitable<std::shared_ptr<QueuedExchange>> HttpConnection::ReadRequest() {
  error_code error;
  if (buffer_.size() == 0) {
    SetDeadline(server_.options_.idle_timeout);
    co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, Into(error));
    ClearDeadline();
    if (error) co_return nullptr;
  }
  RequestParser parser;
  parser.body_limit(static_cast<uint64_t>(server_.options_.max_body_bytes));
  parser.header_limit(server_.options_.max_header_bytes);
  SetDeadline(server_.options_.read_timeout);
  co_await http::async_read_header(socket_, buffer_, parser, Into(error));
  const absl::Time received = absl::Now();
  if (!error && !parser.is_done()) {
    const bool waits =
        absl::EqualsIgnoreCase(ToString(parser.get()[http::field::expect]), "100-continue");
    if (waits) co_await SendAll("HTTP/1.1 100 Continue\r\n\r\n");
    SetDeadline(server_.options_.read_timeout);
    co_await http::async_read(socket_, buffer_, parser, Into(error));
  }
  ClearDeadline();
  if (timed_out_) co_return nullptr;
  if (error) {
    const int status = HttpStatusOf(error);
    if (status != 0) co_await Refuse(status, error.message());
    co_return nullptr;
  }
  const bool is_http_1_1 = parser.get().version() >= 11;
  const bool keep_alive = parser.get().keep_alive();
  HttpRequest request = ToHttpRequest(parser.get(), received);
  request.body = std::move(parser.get().body());
  co_return std::make_shared<QueuedExchange>(strand_, std::move(request), keep_alive, is_http_1_1);
}

asio::awaitable<void> HttpConnection::Refuse(int http_status, std::string message) {
  if (http_status == 413) {
    message = absl::StrCat("The request body is larger than the limit of ",
                           server_.options_.max_body_bytes, " bytes.");
  } else if (http_status == 431) {
    message = absl::StrCat("The request header is larger than the limit of ",
                           server_.options_.max_header_bytes, " bytes.");
  } else {
    message = absl::StrCat("Malformed HTTP request: ", message, ".");
  }
  QueuedExchange exchange(strand_, HttpRequest{}, /*keep_alive=*/false, /*is_http_1_1=*/true);
  exchange.Respond(server_.error_responder_(http_status, message));
  co_await SendResponse(exchange);
}

asio::awaitable<void> HttpConnection::SendResponse(QueuedExchange& exchange) {
  while (socket_.is_open()) {
    if (exchange.outbox_.empty()) {
      if (exchange.state_ == QueuedExchange::State::kEnded) co_return;
      error_code woken;
      co_await exchange.wake_.async_wait(Into(woken));
      continue;
    }
    std::string bytes = std::exchange(exchange.outbox_, "");
    exchange.num_in_flight_ = bytes.size();
    const bool sent = co_await SendAll(std::move(bytes));
    exchange.num_in_flight_ = 0;
    if (!sent) CloseSocket();
    if (sent && exchange.outbox_.empty()) exchange.Drained();
  }
  exchange.Closed();
}

asio::awaitable<bool> HttpConnection::SendAll(std::string bytes) {
  size_t num_sent = 0;
  while (num_sent < bytes.size()) {
    error_code error;
    SetDeadline(server_.options_.write_timeout);
    num_sent += co_await socket_.async_write_some(
        asio::buffer(bytes.data() + num_sent, bytes.size() - num_sent), Into(error));
    ClearDeadline();
    if (error) co_return false;
  }
  co_return true;
}

asio::awaitable<void> HttpConnection::CloseGently() {
  error_code error;
  if (socket_.is_open()) socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  size_t num_discarded = buffer_.size();
  buffer_.consume(buffer_.size());
  SetDeadline(kDiscardTimeout);
  while (socket_.is_open() && !error && num_discarded < kMaxDiscardedBytes) {
    char scratch[4096];
    num_discarded += co_await socket_.async_read_some(asio::buffer(scratch), Into(error));
  }
  ClearDeadline();
  CloseSocket();
}

void HttpConnection::WatchForClose() {
  if (buffer_.size() >= kMaxPipelinedBytes) return;
  auto on_readable = [self = shared_from_this(), watch = watch_](error_code error) {
    if (!error && watch == self->watch_) self->TakeReadableBytes();
  };
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     asio::bind_executor(strand_->executor(), std::move(on_readable)));
}

void HttpConnection::StopWatching() {
  ++watch_;
  error_code ignored;
  if (socket_.is_open()) socket_.cancel(ignored);
}

void HttpConnection::TakeReadableBytes() {
  error_code error;
  const size_t size =
      socket_.read_some(buffer_.prepare(kMaxPipelinedBytes - buffer_.size()), error);
  buffer_.commit(size);
  if (error && error != asio::error::would_block) return CloseSocket();
  WatchForClose();
}

void HttpConnection::SetDeadline(absl::Duration duration) {
  deadline_.expires_after(absl::ToChronoNanoseconds(duration));
  deadline_.async_wait([self = shared_from_this()](error_code error) {
    const bool passed = self->deadline_.expiry() <= asio::steady_timer::clock_type::now();
    if (error || !passed) return;  // It was moved after this handler was queued.
    self->timed_out_ = true;
    self->CloseSocket();
  });
}

void HttpConnection::ClearDeadline() {
  deadline_.expires_at(asio::steady_timer::time_point::max());
}

void HttpConnection::CloseSocket() {
  error_code ignored;
  if (socket_.is_open()) socket_.close(ignored);
  if (exchange_ != nullptr) exchange_->Wake();
}

}  // namespace tandem
