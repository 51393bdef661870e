// Addresses of HTTP servers, for the clients among the commands.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tandem {

struct HttpUrl {
  std::string host;
  std::string port = "80";
  std::string path;  // without a trailing '/'; may be empty

  std::string Authority() const { return absl::StrCat(host, ":", port); }
};

// Takes http://HOST[:PORT][/PATH]. INVALID_ARGUMENT names what is wrong (https is not spoken).
inline absl::StatusOr<HttpUrl> ParseHttpUrl(const std::string& text) {
  constexpr absl::string_view kScheme = "http://";
  if (!absl::StartsWith(text, kScheme)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an http:// address"));
  }
  const std::string rest = text.substr(kScheme.size());
  const size_t slash = rest.find('/');
  const std::string authority = rest.substr(0, slash);
  HttpUrl url;
  if (slash != std::string::npos) {
    url.path = std::string(absl::StripSuffix(rest.substr(slash), "/"));
  }
  const size_t colon = authority.rfind(':');
  url.host = authority.substr(0, colon);
  if (colon != std::string::npos) url.port = authority.substr(colon + 1);
  if (url.host.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" names no host"));
  }
  constexpr int kLastPort = 65535;
  int port = 0;
  if (!absl::SimpleAtoi(url.port, &port) || port < 1 || port > kLastPort) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" names no port from 1 to ", kLastPort));
  }
  return url;
}

}  // namespace tandem
