#include "server/cli/sse_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/str_cat.h"
#include "server/bench/openai_stream.h"
#include "server/event_splitter.h"

namespace tandem {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Tcp = boost::asio::ip::tcp;

http::request<http::string_body> MakeRequest(const SseRequest& request) {
  http::request<http::string_body> message(http::verb::post,
                                           absl::StrCat(request.url.path, request.path), 11);
  message.set(http::field::host, request.url.Authority());
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

absl::Status StreamEvents(const SseRequest& request,
                          const std::function<bool(absl::string_view data)>& on_event) {
  boost::asio::io_context io;
  Tcp::socket socket(io);
  boost::system::error_code error;
  const auto addresses = Tcp::resolver(io).resolve(request.url.host, request.url.port, error);
  if (!error) boost::asio::connect(socket, addresses, error);
  const std::string server = request.url.Authority();
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
                                           status.ok() ? ErrorMessageOf(body) : ""));
  }
  EventSplitter splitter;
  return ReadBody(socket, buffer, parser, [&](absl::string_view bytes) {
    return splitter.Feed(
        bytes, [&](absl::string_view data) { return data != "[DONE]" && on_event(data); });
  });
}

}  // namespace tandem
