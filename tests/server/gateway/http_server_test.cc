#include "server/gateway/http_server.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "server/gateway/error.h"
#include "server/gateway/http_call.h"
#include "tests/server/gateway/http_client.h"

namespace tandem {
namespace {

using ::tandem::testing::ClientConnection;
using ::tandem::testing::ClientResponse;
using ::tandem::testing::Fetch;

constexpr absl::Duration kPatience = absl::Seconds(20);

class HttpServerTest : public ::testing::Test {
 protected:
  ~HttpServerTest() override {
    if (server_ != nullptr) server_->Stop();
    event_loop_.Stop();
  }

  void Serve(HttpServer::Handler handler, HttpServerOptions options = {}) {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Create(
        std::move(options), event_loop_, std::move(handler), [](int status, absl::string_view why) {
          return ErrorResponse(HttpProtocolError(status, why));
        });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_TRUE(event_loop_.Start().ok());
  }
  // Answers with the method, the path and the body.
  void ServeEcho(HttpServerOptions options = {}) {
    Serve(
        [](std::shared_ptr<HttpExchange> exchange) {
          const HttpRequest& request = exchange->request();
          exchange->Respond(
              {.content_type = "text/plain",
               .body = absl::StrCat(request.method, " ", request.path, " ", request.body)});
        },
        std::move(options));
  }
  int port() const { return server_->port(); }

  EventLoop event_loop_{2};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOnOneConnection) {
  ServeEcho();
  ClientConnection connection(port());
  for (const char* body : {"one", "two", ""}) {
    connection.SendRequest("POST", "/x?query=1", body);
    const ClientResponse response = connection.Read();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, absl::StrCat("POST /x ", body));
    EXPECT_TRUE(absl::EndsWith(response.Header("Date"), " GMT"));
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  ServeEcho();
  ClientConnection connection(port());
  connection.Send(
      "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
      "GET /c HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(connection.Read().body, "GET /a ");
  EXPECT_EQ(connection.Read().body, "POST /b hi");
  EXPECT_EQ(connection.Read().body, "GET /c ");
}

TEST_F(HttpServerTest, KeepsBytesThatArriveWhileItAnswers) {
  absl::Mutex mutex;
  std::shared_ptr<HttpExchange> first;
  Serve([&](std::shared_ptr<HttpExchange> exchange) {
    const absl::MutexLock lock(&mutex);
    if (exchange->request().path == "/first") {
      first = std::move(exchange);
    } else {
      exchange->Respond({.body = exchange->request().path});
    }
  });
  ClientConnection connection(port());
  connection.SendRequest("GET", "/first");
  {
    const absl::MutexLock lock(&mutex);
    ASSERT_TRUE(mutex.AwaitWithTimeout(
        absl::Condition(
            +[](std::shared_ptr<HttpExchange>* e) { return *e != nullptr; }, &first),
        kPatience));
  }
  connection.SendRequest("GET", "/second");
  first->strand()->Post([first] { first->Respond({.body = "done"}); });
  EXPECT_EQ(connection.Read().body, "done");
  EXPECT_EQ(connection.Read().body, "/second");
}

TEST_F(HttpServerTest, ClosesWhenAskedTo) {
  ServeEcho();
  ClientConnection connection(port());
  connection.SendRequest("GET", "/", "", "Connection: close\r\n");
  const ClientResponse response = connection.Read();
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(connection.IsClosed());
}

TEST_F(HttpServerTest, SendsNoBodyForHead) {
  ServeEcho();
  ClientConnection connection(port());
  connection.SendRequest("HEAD", "/x");
  const ClientResponse response = connection.Read(/*has_body=*/false);
  EXPECT_EQ(response.Header("Content-Length"), "8");
  connection.SendRequest("GET", "/y");
  EXPECT_EQ(connection.Read().body, "GET /y ");
}

TEST_F(HttpServerTest, RefusesABodyOverTheLimitAndNamesIt) {
  ServeEcho({.max_body_bytes = 100});
  ClientConnection connection(port());
  connection.SendRequest("POST", "/", std::string(101, 'x'));
  const ClientResponse response = connection.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_TRUE(absl::StrContains(response.json()["error"]["message"].get<std::string>(), "100"));
  EXPECT_TRUE(connection.IsClosed());
}

TEST_F(HttpServerTest, RefusesAChunkedBodyOverTheLimit) {
  ServeEcho({.max_body_bytes = 100});
  ClientConnection connection(port());
  connection.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  connection.Send(absl::StrCat("80\r\n", std::string(128, 'x'), "\r\n0\r\n\r\n"));
  EXPECT_EQ(connection.Read().status, 413);
}

TEST_F(HttpServerTest, TakesAChunkedBody) {
  ServeEcho();
  ClientConnection connection(port());
  connection.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  EXPECT_EQ(connection.Read().body, "POST / abc");
}

TEST_F(HttpServerTest, RefusesAHeaderOverTheLimit) {
  ServeEcho({.max_header_bytes = 1024});
  ClientConnection connection(port());
  connection.Send(absl::StrCat("GET / HTTP/1.1\r\nX: ", std::string(4096, 'x'), "\r\n\r\n"));
  EXPECT_EQ(connection.Read().status, 431);
}

TEST_F(HttpServerTest, AnswersNonsenseWith400) {
  ServeEcho();
  ClientConnection connection(port());
  connection.Send("what is this\r\n\r\n");
  const ClientResponse response = connection.Read();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.json()["error"]["type"], "invalid_request_error");
  EXPECT_TRUE(connection.IsClosed());
}

TEST_F(HttpServerTest, AsksForTheBodyWhenTheClientWaits) {
  ServeEcho();
  ClientConnection connection(port());
  connection.Send(
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(connection.Read().status, 100);
  connection.Send("hi");
  EXPECT_EQ(connection.Read().body, "POST / hi");
}

TEST_F(HttpServerTest, StreamsChunks) {
  Serve([](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream({.content_type = "text/event-stream"});
    exchange->Write("a");
    exchange->Write("bc");
    exchange->EndStream();
  });
  ClientConnection connection(port());
  for (int i = 0; i < 2; ++i) {
    connection.SendRequest("GET", "/");
    const ClientResponse response = connection.Read();
    EXPECT_EQ(response.Header("Content-Type"), "text/event-stream");
    EXPECT_EQ(response.body, "abc");
    EXPECT_TRUE(response.is_complete);
  }
}

TEST_F(HttpServerTest, StreamsToOldClientsUntilTheConnectionEnds) {
  Serve([](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream({});
    exchange->Write("abc");
    exchange->EndStream();
  });
  ClientConnection connection(port());
  connection.Send("GET / HTTP/1.0\r\n\r\n");
  const ClientResponse response = connection.Read();
  EXPECT_EQ(response.Header("Transfer-Encoding"), "");
  EXPECT_EQ(response.body, "abc");
}

TEST_F(HttpServerTest, EndsAnAbortedStreamWithoutTheFinalChunk) {
  Serve([](std::shared_ptr<HttpExchange> exchange) {
    exchange->BeginStream({});
    exchange->Write("abc");
    exchange->AbortStream();
  });
  const ClientResponse response = Fetch(port(), "GET", "/");
  EXPECT_EQ(response.body, "abc");
  EXPECT_FALSE(response.is_complete);
}

TEST_F(HttpServerTest, NoticesAClientThatGoesWhileItWaits) {
  absl::Notification arrived;
  absl::Notification closed;
  Serve([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->OnClosed([&closed, exchange] { closed.Notify(); });
    arrived.Notify();
  });
  ClientConnection connection(port());
  connection.SendRequest("GET", "/");
  ASSERT_TRUE(arrived.WaitForNotificationWithTimeout(kPatience));
  connection.Close();
  EXPECT_TRUE(closed.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, DropsAReaderThatTakesNothing) {
  absl::Notification closed;
  Serve(
      [&](std::shared_ptr<HttpExchange> exchange) {
        exchange->OnClosed([&closed, exchange] { closed.Notify(); });
        exchange->BeginStream({});
        exchange->Write(std::string(64 << 20, 'x'));  // more than the kernel's buffers hold
      },
      {.write_timeout = absl::Milliseconds(50)});
  ClientConnection connection(port(), /*receive_buffer_bytes=*/4096);
  connection.SendRequest("GET", "/");
  EXPECT_TRUE(closed.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, TellsWhenAllBytesHaveGoneOut) {
  absl::Notification drained;
  Serve([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->OnDrained([&drained, exchange] {
      EXPECT_EQ(exchange->num_buffered_bytes(), 0u);
      exchange->EndStream();
      drained.Notify();
    });
    exchange->BeginStream({});
    exchange->Write(std::string(1 << 20, 'x'));
    EXPECT_GT(exchange->num_buffered_bytes(), HttpExchange::kMaxBufferedBytes);
  });
  EXPECT_EQ(Fetch(port(), "GET", "/").body.size(), 1u << 20);
  EXPECT_TRUE(drained.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(HttpServerTest, ClosesIdleConnections) {
  ServeEcho({.idle_timeout = absl::Milliseconds(20)});
  ClientConnection connection(port());
  EXPECT_TRUE(connection.IsClosed());
}

TEST_F(HttpServerTest, ClosesConnectionsOverTheLimit) {
  ServeEcho({.max_connections = 1});
  ClientConnection first(port());
  first.SendRequest("GET", "/");
  EXPECT_EQ(first.Read().status, 200);
  ClientConnection second(port());
  EXPECT_TRUE(second.IsClosed());
}

TEST_F(HttpServerTest, NamesTheAddressThatIsTaken) {
  ServeEcho();
  EventLoop other_loop(1);
  const auto other = HttpServer::Create({.port = port()}, other_loop, nullptr, nullptr);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StrContains(other.status().message(), absl::StrCat("127.0.0.1:", port())))
      << other.status();
}

TEST_F(HttpServerTest, NamesAHostThatDoesNotResolve) {
  const auto server = HttpServer::Create({.host = "not a host"}, event_loop_, nullptr, nullptr);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(server.status().message(), "not a host"));
}

TEST_F(HttpServerTest, SendsACompleteResponseBeforeItStops) {
  const std::string body(8 << 20, 'x');
  absl::Notification answered;
  Serve([&](std::shared_ptr<HttpExchange> exchange) {
    exchange->Respond({.body = body});
    answered.Notify();
  });
  ClientConnection connection(port());
  connection.SendRequest("GET", "/");
  ASSERT_TRUE(answered.WaitForNotificationWithTimeout(kPatience));
  std::thread stopper([this] { server_->Stop(); });
  EXPECT_EQ(connection.Read().body.size(), body.size());
  connection.Close();
  stopper.join();
}

}  // namespace
}  // namespace tandem
