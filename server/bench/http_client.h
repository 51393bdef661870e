// Asks an OpenAI-compatible server over HTTP/1.1 and reads its stream of events.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "server/bench/client.h"
#include "server/http_url.h"

namespace tandem {

struct HttpClientOptions {
  HttpUrl url;
  bool is_chat = false;  // /v1/chat/completions instead of /v1/completions
  std::string model;
  bool ignore_eos = true;
  bool keep_alive = false;
  absl::Duration timeout = absl::Minutes(10);                // of a request, connecting included
  std::vector<std::pair<std::string, std::string>> headers;  // further ones
  std::vector<std::pair<std::string, std::string>> target_headers;  // see Ask::names_targets
  std::string extra_body;  // a JSON object whose fields are merged into every request; may be empty
};

// The server's address, found once for all clients. UNAVAILABLE where the name is not known.
absl::StatusOr<std::vector<boost::asio::ip::tcp::endpoint>> ResolveHttp(const HttpUrl& url);

// 429 and 503 are requests shed; another status than 200, an error event and a broken stream are
// failures. With keep_alive a connection that the server has closed meanwhile is replaced.
std::unique_ptr<Client> MakeHttpClient(const HttpClientOptions& options,
                                       std::vector<boost::asio::ip::tcp::endpoint> endpoints,
                                       boost::asio::io_context& context);

}  // namespace tandem
