// A blocking HTTP client for one streamed answer: POSTs JSON, hands out the server-sent events one
// by one.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/http_url.h"

namespace tandem {

struct SseRequest {
  HttpUrl url;
  std::string path;  // appended to the url's
  std::string body;  // JSON
  std::string bearer_token;
};

// Calls `on_event` with the data of each event up to "[DONE]", which is not passed on; it returns
// false to hang up. UNAVAILABLE: no connection, or it broke; otherwise the error the server
// answered, in its words.
absl::Status StreamEvents(const SseRequest& request,
                          const std::function<bool(absl::string_view data)>& on_event);

}  // namespace tandem
