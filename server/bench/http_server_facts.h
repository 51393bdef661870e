// What an OpenAI-compatible server tells of itself. Blocking calls, for before a run.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/http_url.h"

namespace tandem {

struct HttpServer {
  HttpUrl url;
  std::string key;  // sent as a bearer token; may be empty
};

struct ServedModel {
  std::string id;
  int num_tokens = 0;  // of its vocabulary; 0: not told
};

// The first model that /v1/models lists. UNAVAILABLE: no answer within 10 s; UNKNOWN: another
// answer.
absl::StatusOr<ServedModel> AskFirstModel(const HttpServer& server);

// How many tokens /tokenize makes of `text`; same errors.
absl::StatusOr<int> CountTokens(const HttpServer& server, const std::string& model,
                                absl::string_view text);

}  // namespace tandem
