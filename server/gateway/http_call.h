// A request on its way through the endpoints, with the ways to answer it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/gateway/error.h"
#include "server/gateway/http_exchange.h"
#include "server/gateway/json_fields.h"

namespace tandem {

struct HttpCall {
  std::shared_ptr<HttpExchange> exchange;
  std::string request_id;  // the client's X-Request-Id, or one made up; echoed in every response
  std::string path_tail;   // what a route that ends in '*' matched there, percent-decoded

  const HttpRequest& request() const { return exchange->request(); }

  void Respond(HttpResponse response) const;
  void RespondJson(const Json& json) const;
  // By the table of error.h; a refusal while draining also closes the connection.
  void RespondError(const absl::Status& status, bool close = false) const;
};

// The error object as a response, with Retry-After where it helps.
HttpResponse ErrorResponse(const ApiError& error);

// The client's id if it can go into headers and logs as it is, else a new one: at most 128 bytes
// that print.
std::string ChooseRequestId(absl::string_view given);

// 24 random hexadecimal digits.
std::string RandomId();
uint64_t RandomUint64();

}  // namespace tandem
