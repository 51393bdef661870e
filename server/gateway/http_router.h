// Which endpoint answers a path: 404 and 405, API keys, content types, request ids.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/gateway/http_call.h"

namespace tandem {

// Thread-safe once all routes are added.
class HttpRouter {
 public:
  using Handler = std::function<void(HttpCall call)>;
  enum class Access { kPublic, kNeedsKey };

  // `api_keys` empty: no key is needed anywhere.
  explicit HttpRouter(std::vector<std::string> api_keys) : api_keys_(std::move(api_keys)) {}

  // `path` ends in '*' where any non-empty rest is part of it. A GET route answers HEAD too; a POST
  // route takes JSON only.
  void Add(std::string method, std::string path, Access access, Handler handler);

  // Runs the handler of the exchange's path, or answers with an error.
  void Handle(const std::shared_ptr<HttpExchange>& exchange) const;

 private:
  struct Route {
    std::string method;
    std::string path;
    Access access;
    Handler handler;
  };

  absl::Status CheckKey(const HttpRequest& request) const;

  const std::vector<std::string> api_keys_;
  std::vector<Route> routes_;
};

// True if `given` is one of the keys; takes equally long whichever byte differs.
bool IsKnownKey(const std::vector<std::string>& api_keys, absl::string_view given);

// The key of "Bearer KEY", or empty.
absl::string_view BearerKey(absl::string_view authorization);

}  // namespace tandem
