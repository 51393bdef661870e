#include "server/bench/http_client.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/connect.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"
#include "server/bench/openai_stream.h"
#include "server/event_splitter.h"

namespace tandem {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using Tcp = asio::ip::tcp;

// A message body that is handed on as it comes.
struct StreamedBody {
  // NOLINTNEXTLINE(readability-identifier-naming): Beast looks for these two names
  using value_type = std::function<void(absl::string_view)>;

  // NOLINTNEXTLINE(readability-identifier-naming)
  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(http::header<kIsRequest, Fields>&, value_type& on_bytes) : on_bytes_(on_bytes) {}

    void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }

    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t size = 0;
      for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers);
           ++it) {
        const asio::const_buffer piece = *it;
        on_bytes_(absl::string_view(static_cast<const char*>(piece.data()), piece.size()));
        size += piece.size();
      }
      return size;
    }

    void finish(error_code& error) { error = {}; }

   private:
    value_type& on_bytes_;
  };
};

// What all exchanges of a client share.
struct HttpShared {
  asio::io_context& context;
  const HttpClientOptions options;
  const std::vector<Tcp::endpoint> endpoints;
  std::string head;  // of every request, up to the body's length
  json extra_body;
  std::vector<Tcp::socket> idle;  // open connections that nobody uses
};

class HttpExchange : public Exchange, public std::enable_shared_from_this<HttpExchange> {
 public:
  HttpExchange(std::shared_ptr<HttpShared> shared, std::string message)
      : shared_(std::move(shared)),
        message_(std::move(message)),
        socket_(shared_->context),
        timeout_(shared_->context) {}

  void Start(RequestRecord& record, Done done) override {
    record_ = &record;
    done_ = std::move(done);
    sent_ = BenchClock::now();
    timeout_.expires_after(absl::ToChronoNanoseconds(shared_->options.timeout));
    timeout_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->Fail("no end within the time limit");
    });
    if (shared_->idle.empty()) return Connect();
    socket_ = std::move(shared_->idle.back());
    shared_->idle.pop_back();
    is_reused_ = true;
    Write();
  }

  void Cancel(const std::string& reason) override {
    asio::post(shared_->context, [self = shared_from_this(), reason] { self->Fail(reason); });
  }

 private:
  void Connect() {
    is_reused_ = false;
    asio::async_connect(socket_, shared_->endpoints,
                        [self = shared_from_this()](error_code error, const Tcp::endpoint&) {
                          if (error) return self->Fail("cannot connect: " + error.message());
                          self->socket_.set_option(Tcp::no_delay(true), error);
                          self->Write();
                        });
  }

  void Write() {
    parser_.emplace();
    parser_->body_limit(boost::none);
    parser_->get().body() = [this](absl::string_view bytes) { OnBytes(bytes); };
    asio::async_write(socket_, asio::buffer(message_),
                      [self = shared_from_this()](error_code error, size_t) {
                        if (error) return self->OnBroken(error);
                        self->Read();
                      });
  }

  void Read() {
    http::async_read_some(socket_, buffer_, *parser_,
                          [self = shared_from_this()](error_code error, size_t) {
                            if (error) return self->OnBroken(error);
                            if (self->parser_->is_done()) return self->OnEnd();
                            self->Read();
                          });
  }

  bool IsOk() const { return parser_->get().result() == http::status::ok; }

  void OnBytes(absl::string_view bytes) {
    constexpr size_t kMaxErrorBytes = 64 * 1024;
    if (!IsOk()) {
      error_body_.append(bytes.data(), std::min(bytes.size(), kMaxErrorBytes - error_body_.size()));
      return;
    }
    const absl::Duration since_sent = TimeSince(sent_);
    splitter_.Feed(bytes, [&](absl::string_view data) {
      stream_.OnEvent(data, since_sent);
      return true;
    });
  }

  // A connection that was idle may have been closed by the server just before it was used.
  void OnBroken(error_code error) {
    if (done_ == nullptr) return;
    if (is_reused_ && !parser_->got_some()) {
      socket_ = Tcp::socket(shared_->context);
      return Connect();
    }
    if (!parser_->is_header_done()) return Fail("no answer: " + error.message());
    Complete(/*is_complete=*/false);
  }

  void OnEnd() {
    if (done_ == nullptr) return;
    if (shared_->options.keep_alive && parser_->get().keep_alive() && buffer_.size() == 0) {
      shared_->idle.push_back(std::move(socket_));
    }
    Complete(/*is_complete=*/true);
  }

  void Complete(bool is_complete) {
    if (IsOk()) {
      stream_.Finish(is_complete, *record_);
      if (record_->outcome != RequestRecord::Outcome::kServed) record_->latency = TimeSince(sent_);
      return Conclude();
    }
    const int status = static_cast<int>(parser_->get().result_int());
    constexpr int kTooManyRequests = 429, kUnavailable = 503;
    const bool is_shed = status == kTooManyRequests || status == kUnavailable;
    record_->outcome = is_shed ? RequestRecord::Outcome::kShed : RequestRecord::Outcome::kFailed;
    record_->error = absl::StrCat("HTTP ", status, ": ", ErrorMessageOf(error_body_));
    record_->latency = TimeSince(sent_);
    Conclude();
  }

  void Fail(const std::string& reason) {
    if (done_ == nullptr) return;
    record_->outcome = RequestRecord::Outcome::kFailed;
    record_->error = reason;
    record_->latency = TimeSince(sent_);
    Conclude();
  }

  void Conclude() {
    timeout_.cancel();
    error_code ignored;
    if (socket_.is_open()) socket_.close(ignored);
    std::exchange(done_, nullptr)();
  }

  const std::shared_ptr<HttpShared> shared_;
  const std::string message_;
  Tcp::socket socket_;
  asio::steady_timer timeout_;
  boost::beast::flat_buffer buffer_;
  boost::optional<http::response_parser<StreamedBody>> parser_;
  bool is_reused_ = false;
  BenchClock::time_point sent_;
  EventSplitter splitter_;
  OpenAiStream stream_;
  std::string error_body_;
  RequestRecord* record_ = nullptr;
  Done done_;
};

void AppendTokens(const std::vector<uint32_t>& tokens, std::string& body) {
  body.reserve(body.size() + 7 * tokens.size());
  body += '[';
  for (size_t i = 0; i < tokens.size(); ++i) absl::StrAppend(&body, i > 0 ? "," : "", tokens[i]);
  body += ']';
}

// Nothing for an empty value; line breaks, which a trace may hold, become spaces.
void AppendHeader(absl::string_view name, const std::string& value, std::string& message) {
  if (value.empty()) return;
  absl::StrAppend(&message, name, ": ", absl::StrReplaceAll(value, {{"\r", " "}, {"\n", " "}}),
                  "\r\n");
}

class HttpClient : public Client {
 public:
  explicit HttpClient(std::shared_ptr<HttpShared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Exchange> Prepare(const Ask& ask) override {
    const std::string body = Body(ask);
    std::string message = shared_->head;
    absl::StrAppend(&message, "X-Request-Id: ", ask.id, "\r\n");
    if (ask.names_targets) {
      AppendHeader("x-llm-d-inference-objective", ask.slo_class, message);
      for (const auto& [name, value] : shared_->options.target_headers) {
        AppendHeader(name, value, message);
      }
    }
    AppendHeader("x-llm-d-inference-fairness-id", ask.tenant, message);
    absl::StrAppend(&message, "Content-Length: ", body.size(), "\r\n\r\n", body);
    return std::make_shared<HttpExchange>(shared_, std::move(message));
  }

 private:
  std::string Body(const Ask& ask) const {
    const HttpClientOptions& options = shared_->options;
    json fields = {{"model", ask.model.empty() ? options.model : ask.model},
                   {"temperature", 0},
                   {"stream", true},
                   {"stream_options", {{"include_usage", true}}}};
    if (options.is_chat) {
      fields["messages"] = json::array({{{"role", "user"}, {"content", ask.text}}});
    }
    fields[options.is_chat ? "max_completion_tokens" : "max_tokens"] = ask.output_tokens;
    if (options.ignore_eos) fields["ignore_eos"] = true;
    if (ask.priority != 0) fields["priority"] = ask.priority;
    if (!options.is_chat && !ask.text.empty()) fields["prompt"] = ask.text;
    if (shared_->extra_body.is_object()) fields.update(shared_->extra_body);
    std::string body = fields.dump(-1, ' ', false, json::error_handler_t::replace);
    if (options.is_chat || !ask.text.empty()) return body;
    body.back() = ',';
    body += "\"prompt\":";
    AppendTokens(ask.tokens, body);
    body += '}';
    return body;
  }

  const std::shared_ptr<HttpShared> shared_;
};

}  // namespace

absl::StatusOr<std::vector<Tcp::endpoint>> ResolveHttp(const HttpUrl& url) {
  asio::io_context context;
  error_code error;
  const auto found = Tcp::resolver(context).resolve(url.host, url.port, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot reach ", url.Authority(), ": ", error.message()));
  }
  std::vector<Tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  return endpoints;
}

std::unique_ptr<Client> MakeHttpClient(const HttpClientOptions& options,
                                       std::vector<Tcp::endpoint> endpoints,
                                       asio::io_context& context) {
  const auto shared = std::make_shared<HttpShared>(
      HttpShared{.context = context, .options = options, .endpoints = std::move(endpoints)});
  shared->head = absl::StrCat(
      "POST ", options.url.path, options.is_chat ? "/v1/chat/completions" : "/v1/completions",
      " HTTP/1.1\r\nHost: ", options.url.Authority(),
      "\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nConnection: ",
      options.keep_alive ? "keep-alive" : "close", "\r\n");
  for (const auto& [name, value] : options.headers) {
    absl::StrAppend(&shared->head, name, ": ", value, "\r\n");
  }
  if (!options.extra_body.empty()) {
    shared->extra_body = json::parse(options.extra_body, nullptr, /*allow_exceptions=*/false);
  }
  return std::make_unique<HttpClient>(shared);
}

}  // namespace tandem
