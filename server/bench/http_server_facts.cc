#include "server/bench/http_server_facts.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "boost/beast/http/message.hpp"
#include "boost/beast/http/read.hpp"
#include "boost/beast/http/string_body.hpp"
#include "boost/beast/http/write.hpp"
#include "server/bench/openai_stream.h"

namespace tandem {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using nlohmann::json;

constexpr std::chrono::seconds kTimeout(10);

// Beast's time limits hold for asynchronous calls alone, so each is one, and the context runs it.
class Call {
 public:
  explicit Call(const HttpServer& server) : server_(server), stream_(context_) {}

  // The JSON that the server answers; `body` makes it a POST.
  absl::StatusOr<json> Run(const std::string& path, const std::string* body) {
    asio::ip::tcp::resolver resolver(context_);
    error_code error;
    const auto addresses = resolver.resolve(server_.url.host, server_.url.port, error);
    if (error) return Unreachable(error);
    stream_.expires_after(kTimeout);
    if (error = Await([&](auto done) { stream_.async_connect(addresses, done); }); error) {
      return Unreachable(error);
    }
    const auto request = MakeRequest(path, body);
    if (error = Await([&](auto done) { http::async_write(stream_, request, done); }); error) {
      return Unreachable(error);
    }
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    if (error = Await([&](auto done) { http::async_read(stream_, buffer, response, done); });
        error) {
      return Unreachable(error);
    }
    return Parse(path, response);
  }

 private:
  // Starts an operation, runs it to its end and returns its error.
  template <typename Start>
  error_code Await(Start start) {
    error_code result;
    start([&result](error_code error, auto&&...) { result = error; });
    context_.restart();
    context_.run();
    return result;
  }

  http::request<http::string_body> MakeRequest(const std::string& path,
                                               const std::string* body) const {
    http::request<http::string_body> request(body != nullptr ? http::verb::post : http::verb::get,
                                             server_.url.path + path, 11);
    request.set(http::field::host, server_.url.Authority());
    request.set(http::field::connection, "close");
    if (!server_.key.empty()) {
      request.set(http::field::authorization, absl::StrCat("Bearer ", server_.key));
    }
    if (body != nullptr) {
      request.set(http::field::content_type, "application/json");
      request.body() = *body;
    }
    request.prepare_payload();
    return request;
  }

  static absl::StatusOr<json> Parse(const std::string& path,
                                    const http::response<http::string_body>& response) {
    if (response.result() != http::status::ok) {
      return absl::UnknownError(absl::StrCat(path, " answered ", response.result_int(), ": ",
                                             ErrorMessageOf(response.body())));
    }
    json parsed = json::parse(response.body(), nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) return absl::UnknownError(path + " answered no JSON object");
    return parsed;
  }

  absl::Status Unreachable(error_code error) const {
    return absl::UnavailableError(
        absl::StrCat("cannot reach ", server_.url.Authority(), ": ", error.message()));
  }

  const HttpServer& server_;
  asio::io_context context_;
  beast::tcp_stream stream_;
};

}  // namespace

absl::StatusOr<ServedModel> AskFirstModel(const HttpServer& server) {
  const absl::StatusOr<json> list = Call(server).Run("/v1/models", nullptr);
  if (!list.ok()) return list.status();
  const auto data = list->find("data");
  if (data == list->end() || !data->is_array() || data->empty() || !(*data)[0].is_object() ||
      !(*data)[0].contains("id") || !(*data)[0]["id"].is_string()) {
    return absl::UnknownError("/v1/models lists no model");
  }
  const json& model = (*data)[0];
  ServedModel served = {.id = model["id"]};
  if (model.contains("meta") && model["meta"].is_object() && model["meta"].contains("n_vocab") &&
      model["meta"]["n_vocab"].is_number_integer()) {
    served.num_tokens = model["meta"]["n_vocab"];
  }
  return served;
}

absl::StatusOr<int> CountTokens(const HttpServer& server, const std::string& model,
                                absl::string_view text) {
  // The fields of vLLM, and of llama.cpp.
  const std::string words(text);
  const std::string body = json{{"model", model}, {"prompt", words}, {"content", words}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
  const absl::StatusOr<json> answer = Call(server).Run("/tokenize", &body);
  if (!answer.ok()) return answer.status();
  const auto tokens = answer->find("tokens");
  if (tokens == answer->end() || !tokens->is_array()) {
    return absl::UnknownError("/tokenize answered no tokens");
  }
  return static_cast<int>(tokens->size());
}

}  // namespace tandem
