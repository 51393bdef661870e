#include "server/gateway/http_exchange.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "boost/beast/http/status.hpp"
#include "server/gateway/http_connection.h"

namespace tandem {
namespace {

// Header values from outside (request ids, instance names) cannot start a new header line.
void AppendHeader(absl::string_view name, absl::string_view value, std::string& head) {
  absl::StrAppend(&head, name, ": ");
  for (const char c : value) head.push_back(c == '\r' || c == '\n' ? ' ' : c);
  head.append("\r\n");
}

std::string ReasonPhrase(int status) {
  if (status == 499) return "Client Closed Request";
  const auto reason =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  return {reason.data(), reason.size()};
}

}  // namespace

absl::string_view FindHeader(const HttpHeaders& headers, absl::string_view name) {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

QueuedExchange::QueuedExchange(const std::shared_ptr<AsioStrand>& strand, HttpRequest request,
                               bool keep_alive, bool is_http_1_1)
    : strand_(strand),
      request_(std::move(request)),
      is_http_1_1_(is_http_1_1),
      keep_alive_(keep_alive),
      wake_(strand->executor(), boost::asio::steady_timer::time_point::max()) {}

std::string QueuedExchange::Head(const HttpResponse& response, bool has_length,
                                 size_t length) const {
  std::string head =
      absl::StrCat("HTTP/1.1 ", response.status, " ", ReasonPhrase(response.status), "\r\n");
  AppendHeader("Date",
               absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
               head);
  AppendHeader("Server", "tandem", head);
  AppendHeader("Content-Type", response.content_type, head);
  if (has_length) {
    AppendHeader("Content-Length", absl::StrCat(length), head);
  } else if (is_http_1_1_) {
    AppendHeader("Transfer-Encoding", "chunked", head);
  }
  for (const auto& [name, value] : response.headers) AppendHeader(name, value, head);
  if (!keep_alive_) {
    AppendHeader("Connection", "close", head);
  } else if (!is_http_1_1_) {
    AppendHeader("Connection", "keep-alive", head);
  }
  head.append("\r\n");
  return head;
}

void QueuedExchange::Respond(HttpResponse response) {
  if (state_ != State::kWaiting) return;
  if (response.close) keep_alive_ = false;
  outbox_ = Head(response, /*has_length=*/true, response.body.size());
  if (request_.method != "HEAD") outbox_.append(response.body);
  End(keep_alive_);
}

void QueuedExchange::BeginStream(HttpResponse head) {
  if (state_ != State::kWaiting) return;
  // A stream of unknown length to an HTTP/1.0 client ends with the connection.
  if (head.close || !is_http_1_1_) keep_alive_ = false;
  outbox_ = Head(head, /*has_length=*/false, 0);
  state_ = State::kStreaming;
  Wake();
}

void QueuedExchange::Write(absl::string_view bytes) {
  if (state_ != State::kStreaming || bytes.empty()) return;
  if (is_http_1_1_) {
    absl::StrAppend(&outbox_, absl::Hex(bytes.size()), "\r\n", bytes, "\r\n");
  } else {
    absl::StrAppend(&outbox_, bytes);
  }
  Wake();
}

void QueuedExchange::EndStream() {
  if (state_ != State::kStreaming) return;
  if (is_http_1_1_) outbox_.append("0\r\n\r\n");
  End(keep_alive_);
}

void QueuedExchange::AbortStream() {
  if (state_ == State::kStreaming) End(/*keep_alive=*/false);
}

void QueuedExchange::End(bool keep_alive) {
  keep_alive_ = keep_alive;
  state_ = State::kEnded;
  on_closed_ = nullptr;
  on_drained_ = nullptr;
  Wake();
}

void QueuedExchange::Drained() {
  Task task = std::exchange(on_drained_, nullptr);
  if (!task) return;
  task();  // It may end the stream, or ask for something else.
  if (state_ != State::kEnded && !on_drained_) on_drained_ = std::move(task);
}

void QueuedExchange::Closed() {
  keep_alive_ = false;
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  on_drained_ = nullptr;
  if (Task task = std::exchange(on_closed_, nullptr)) task();
}

}  // namespace tandem
