#include "server/gateway/http_router.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

bool Matches(absl::string_view pattern, absl::string_view path) {
  if (!absl::ConsumeSuffix(&pattern, "*")) return path == pattern;
  return path.size() > pattern.size() && absl::StartsWith(path, pattern);
}

// Undoes %41; what is no escape stays as it is.
std::string PercentDecode(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '%' && i + 2 < text.size() &&
                           absl::ascii_isxdigit(text[i + 1]) && absl::ascii_isxdigit(text[i + 2]);
    if (!is_escape) {
      decoded.push_back(text[i]);
      continue;
    }
    decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return decoded;
}

// JSON in one of its spellings; a client that says nothing means JSON.
bool IsJson(absl::string_view content_type) {
  const absl::string_view type =
      absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return type.empty() || absl::EqualsIgnoreCase(type, "application/json") ||
         absl::EndsWithIgnoreCase(type, "+json");
}

void RespondProtocolError(const HttpCall& call, int http_status, const std::string& message,
                          HttpHeaders headers) {
  HttpResponse response = ErrorResponse(HttpProtocolError(http_status, message));
  for (auto& header : headers) response.headers.push_back(std::move(header));
  call.Respond(std::move(response));
}

}  // namespace

bool IsKnownKey(const std::vector<std::string>& api_keys, absl::string_view given) {
  bool is_known = false;
  for (const std::string& key : api_keys) {
    unsigned difference = key.size() == given.size() ? 0 : 1;
    for (size_t i = 0; i < given.size(); ++i) {
      difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
    }
    is_known |= difference == 0;
  }
  return is_known;
}

absl::string_view BearerKey(absl::string_view authorization) {
  constexpr absl::string_view kScheme = "Bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
}

void HttpRouter::Add(std::string method, std::string path, Access access, Handler handler) {
  routes_.push_back({std::move(method), std::move(path), access, std::move(handler)});
}

absl::Status HttpRouter::CheckKey(const HttpRequest& request) const {
  if (api_keys_.empty()) return absl::OkStatus();
  const absl::string_view key = BearerKey(FindHeader(request.headers, "Authorization"));
  if (IsKnownKey(api_keys_, key)) return absl::OkStatus();
  return absl::UnauthenticatedError(key.empty() ? "An API key is needed: Authorization: Bearer KEY."
                                                : "The API key is not valid.");
}

void HttpRouter::Handle(const std::shared_ptr<HttpExchange>& exchange) const {
  HttpCall call{
      .exchange = exchange,
      .request_id = ChooseRequestId(FindHeader(exchange->request().headers, "X-Request-Id")),
      .path_tail = ""};
  const HttpRequest& request = exchange->request();
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  std::string allowed;
  for (const Route& route : routes_) {
    if (!Matches(route.path, request.path)) continue;
    if (route.method != method) {
      absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", route.method);
      continue;
    }
    if (route.access == Access::kNeedsKey) {
      if (absl::Status status = CheckKey(request); !status.ok()) return call.RespondError(status);
    }
    if (method == "POST" && !IsJson(FindHeader(request.headers, "Content-Type"))) {
      return RespondProtocolError(call, 415, "The Content-Type must be application/json.", {});
    }
    const absl::string_view encoding = FindHeader(request.headers, "Content-Encoding");
    if (!encoding.empty() && !absl::EqualsIgnoreCase(encoding, "identity")) {
      return RespondProtocolError(
          call, 415, absl::StrCat("The Content-Encoding ", encoding, " is not understood."), {});
    }
    if (absl::EndsWith(route.path, "*")) {
      call.path_tail = PercentDecode(request.path.substr(route.path.size() - 1));
    }
    return route.handler(std::move(call));
  }
  if (allowed.empty()) {
    return RespondProtocolError(
        call, 404, absl::StrCat("There is no endpoint ", request.method, " ", request.path, "."),
        {});
  }
  RespondProtocolError(call, 405,
                       absl::StrCat(request.path, " does not take ", request.method, "."),
                       {{"Allow", allowed}});
}

}  // namespace tandem
