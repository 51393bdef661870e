// tandem chat: a terminal client of the OpenAI-compatible API that streams.
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/bench/openai_stream.h"
#include "server/cli/commands.h"
#include "server/cli/sse_client.h"

namespace tandem {
namespace {

using nlohmann::json;
using Path = json::json_pointer;

// The value at `path`; `otherwise` where a server says nothing there, or something else.
std::string TextAt(const json& object, const Path& path, const char* otherwise) {
  if (!object.contains(path) || !object.at(path).is_string()) return otherwise;
  return object.at(path);
}

double NumberAt(const json& object, const Path& path, double otherwise) {
  if (!object.contains(path) || !object.at(path).is_number()) return otherwise;
  return object.at(path);
}

// What one answer cost, as measured here and as told in the last chunk.
struct AnswerStats {
  absl::Time sent;
  absl::Time first_text = absl::InfiniteFuture();
  absl::Time last_text = absl::InfiniteFuture();
  int completion_tokens = 0;
  json server;  // the "tandem" object: path, kv_bytes, prefill, decode
};

std::string FormatBytes(double bytes) {
  if (bytes < 1 << 20) return absl::StrFormat("%.1f KiB", bytes / 1024);
  return absl::StrFormat("%.1f MiB", bytes / (1 << 20));
}

std::string FormatStats(const AnswerStats& stats) {
  std::string line = absl::StrFormat("%d tokens", stats.completion_tokens);
  if (stats.first_text == absl::InfiniteFuture()) return line;
  const double ttft_ms = absl::ToDoubleMilliseconds(stats.first_text - stats.sent);
  absl::StrAppend(&line, absl::StrFormat(", TTFT %.0f ms", ttft_ms));
  if (stats.completion_tokens > 1 && stats.last_text > stats.first_text) {
    const double tpot_ms = absl::ToDoubleMilliseconds(stats.last_text - stats.first_text) /
                           (stats.completion_tokens - 1);
    absl::StrAppend(&line,
                    absl::StrFormat(", TPOT %.1f ms, %.1f tokens/s", tpot_ms, 1000 / tpot_ms));
  }
  if (!stats.server.is_object()) return line;
  const double kv_bytes = NumberAt(stats.server, Path("/kv_bytes"), 0);
  if (kv_bytes > 0) {
    absl::StrAppend(&line, ", ", FormatBytes(kv_bytes), " of KV from ",
                    TextAt(stats.server, Path("/prefill"), "prefill"), " to ",
                    TextAt(stats.server, Path("/decode"), "decode"));
  } else {
    absl::StrAppend(&line, ", prefilled and decoded by ",
                    TextAt(stats.server, Path("/decode"), "one worker"));
  }
  return line;
}

class ChatClient {
 public:
  ChatClient(const Config& config, HttpUrl url) : config_(config), url_(std::move(url)) {
    messages_ = json::array();
    Reset();
  }

  void Reset() {
    messages_.clear();
    if (!config_.system().empty()) {
      messages_.push_back({{"role", "system"}, {"content", config_.system()}});
    }
  }

  // Asks, prints the answer as it comes and a line of figures, and keeps both in the conversation.
  absl::Status Ask(const std::string& question) {
    messages_.push_back({{"role", "user"}, {"content", question}});
    AnswerStats stats{.sent = absl::Now()};
    std::string answer, server_error;
    const absl::Status status = StreamEvents(
        {.url = url_,
         .path = "/v1/chat/completions",
         .body = Body(),
         .bearer_token = config_.key()},
        [&](absl::string_view data) { return OnEvent(data, answer, server_error, stats); });
    std::cout << std::endl;
    const bool failed = !status.ok() || !server_error.empty();
    if (failed) {
      messages_.erase(messages_.size() - 1);
      return status.ok() ? absl::UnknownError(server_error) : status;
    }
    messages_.push_back({{"role", "assistant"}, {"content", answer}});
    const bool is_terminal = isatty(STDOUT_FILENO) != 0;
    std::cout << (is_terminal ? "\033[2m" : "") << "[" << FormatStats(stats) << "]"
              << (is_terminal ? "\033[0m" : "") << std::endl;
    return absl::OkStatus();
  }

 private:
  std::string Body() const {
    return json{{"messages", messages_},
                {"temperature", config_.temperature()},
                {"max_tokens", config_.max_tokens()},
                {"stream", true},
                {"stream_options", {{"include_usage", true}}}}
        .dump(-1, ' ', false, json::error_handler_t::replace);
  }

  static bool OnEvent(absl::string_view data, std::string& answer, std::string& server_error,
                      AnswerStats& stats) {
    const json event = json::parse(data.begin(), data.end(), nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) {
      server_error = absl::StrCat("the server sent what is not JSON: ", data);
      return false;
    }
    if (event.contains("error") && !event["error"].is_null()) {
      server_error = ErrorMessageOf(data);
      return false;
    }
    const std::string text = TextAt(event, Path("/choices/0/delta/content"), "");
    if (!text.empty()) {
      stats.last_text = absl::Now();
      stats.first_text = std::min(stats.first_text, stats.last_text);
      answer += text;
      std::cout << text << std::flush;
    }
    stats.completion_tokens = static_cast<int>(
        NumberAt(event, Path("/usage/completion_tokens"), stats.completion_tokens));
    if (event.contains("tandem")) stats.server = event["tandem"];
    return true;
  }

  const Config& config_;
  const HttpUrl url_;
  json messages_;
};

void Converse(ChatClient& client, const std::string& url) {
  std::cout << "Talking to " << url << ". /clear forgets the conversation, /exit or Ctrl-D leaves."
            << std::endl;
  std::string line;
  while (std::cout << "\n> " << std::flush && std::getline(std::cin, line)) {
    if (line == "/exit" || line == "/quit") return;
    if (line == "/clear") {
      client.Reset();
    } else if (!line.empty()) {
      if (absl::Status status = client.Ask(line); !status.ok()) {
        std::cerr << "error: " << status.message() << std::endl;
      }
    }
  }
  std::cout << std::endl;
}

}  // namespace

absl::Status RunChat(const Config& config) {
  ASSIGN_OR_RETURN(HttpUrl url, ParseHttpUrl(config.url()));
  ChatClient client(config, std::move(url));
  if (!config.prompt().empty()) return client.Ask(config.prompt());
  Converse(client, config.url());
  return absl::OkStatus();
}

}  // namespace tandem
