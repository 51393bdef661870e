#include "server/cli/sse_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tandem {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = boost::asio::ip::tcp;

constexpr absl::string_view kScheme = "http://";

// {"error":{"message":...}} -> the message; else the body itself.
std::string ErrorMessage(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    return json["error"].value("message", body);
  }
  return body;
}

// Cuts the body's bytes into events, whatever pieces they come in.
class EventSplitter {
 public:
  explicit EventSplitter(const std::function<bool(absl::string_view)>& on_event)
      : on_event_(on_event) {}

  // False once the stream is over or the listener wants no more.
  bool Feed(absl::string_view bytes) {
    pending_.append(bytes.data(), bytes.size());
    size_t end;
    while ((end = pending_.find('\n')) != std::string::npos) {
      const std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      absl::string_view data = absl::StripSuffix(line, "\r");
      if (!absl::ConsumePrefix(&data, "data:")) continue;  // a comment, or the end of an event
      absl::ConsumePrefix(&data, " ");
      if (data == "[DONE]" || !on_event_(data)) return false;
    }
    return true;
  }

 private:
  const std::function<bool(absl::string_view)>& on_event_;
  std::string pending_;
};

http::request<http::string_body> MakeRequest(const SseRequest& request) {
  http::request<http::string_body> message(http::verb::post,
                                           absl::StrCat(request.url.path, request.path), 11);
  message.set(http::field::host, absl::StrCat(request.url.host, ":", request.url.port));
  message.set(http::field::content_type, "application/json");
  message.set(http::field::accept, "text/event-stream");
  if (!request.bearer_token.empty()) {
    message.set(http::field::authorization, absl::StrCat("Bearer ", request.bearer_token));
  }
  message.body() = request.body;
  message.prepare_payload();
  return message;
}

// Reads the body piece by piece as it comes.
absl::Status ReadBody(Tcp::socket& socket, beast::flat_buffer& buffer,
                      http::response_parser<http::buffer_body>& parser,
                      const std::function<bool(absl::string_view)>& on_bytes) {
  char piece[8192];
  while (!parser.is_done()) {
    parser.get().body().data = piece;
    parser.get().body().size = sizeof(piece);
    boost::system::error_code error;
    http::read_some(socket, buffer, parser, error);
    if (error && error != http::error::need_buffer) {
      return absl::UnavailableError(absl::StrCat("the stream broke: ", error.message()));
    }
    const size_t size = sizeof(piece) - parser.get().body().size;
    if (size > 0 && !on_bytes(absl::string_view(piece, size))) return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HttpUrl> ParseHttpUrl(const std::string& text) {
  if (!absl::StartsWith(text, kScheme)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an http:// address"));
  }
  const std::string rest = text.substr(kScheme.size());
  const size_t slash = rest.find('/');
  const std::string authority = rest.substr(0, slash);
  HttpUrl url;
  if (slash != std::string::npos)
    url.path = std::string(absl::StripSuffix(rest.substr(slash), "/"));
  const size_t colon = authority.rfind(':');
  url.host = authority.substr(0, colon);
  if (colon != std::string::npos) url.port = authority.substr(colon + 1);
  if (url.host.empty() || url.port.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" names no host"));
  }
  return url;
}

absl::Status StreamEvents(const SseRequest& request,
                          const std::function<bool(absl::string_view data)>& on_event) {
  boost::asio::io_context io;
  Tcp::socket socket(io);
  boost::system::error_code error;
  const auto addresses = Tcp::resolver(io).resolve(request.url.host, request.url.port, error);
  if (!error) boost::asio::connect(socket, addresses, error);
  const std::string server = absl::StrCat(request.url.host, ":", request.url.port);
  if (error) {
    return absl::UnavailableError(absl::StrCat("cannot reach ", server, ": ", error.message()));
  }
  socket.set_option(Tcp::no_delay(true), error);
  http::write(socket, MakeRequest(request), error);
  if (error) return absl::UnavailableError(absl::StrCat(server, ": ", error.message()));

  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  http::read_header(socket, buffer, parser, error);
  if (error) return absl::UnavailableError(absl::StrCat(server, ": ", error.message()));
  if (parser.get().result() != http::status::ok) {
    std::string body;
    const absl::Status status = ReadBody(socket, buffer, parser, [&body](absl::string_view bytes) {
      body.append(bytes.data(), bytes.size());
      return body.size() < (1 << 20);
    });
    return absl::UnknownError(absl::StrCat("HTTP ", parser.get().result_int(), ": ",
                                           status.ok() ? ErrorMessage(body) : ""));
  }
  EventSplitter splitter(on_event);
  return ReadBody(socket, buffer, parser,
                  [&splitter](absl::string_view bytes) { return splitter.Feed(bytes); });
}

}  // namespace tandem
