#include "server/gateway/http_server.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/steady_timer.hpp"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/gateway/http_connection.h"

namespace tandem {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

// Pause after a failed accept: out of file descriptors does not pass by trying at once.
constexpr absl::Duration kAcceptRetry = absl::Milliseconds(100);

}  // namespace

struct HttpServer::Listener {
  Listener(HttpServer& server, EventLoop& event_loop)
      : server(server),
        event_loop(event_loop),
        strand(event_loop.NextContext()),
        acceptor(strand.executor()) {}

  void Accept();
  // Null when there are too many connections.
  std::shared_ptr<HttpConnection> Admit(tcp::socket socket, std::shared_ptr<AsioStrand> strand);

  HttpServer& server;
  EventLoop& event_loop;
  AsioStrand strand;
  tcp::acceptor acceptor;                // strand only once it accepts
  std::unique_ptr<Strand::Timer> retry;  // strand only
  int port = 0;                          // fixed after Listen
};

HttpServer::HttpServer(HttpServerOptions options, Handler handler, ErrorResponder error_responder)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      error_responder_(std::move(error_responder)) {}

HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(HttpServerOptions options,
                                                               EventLoop& event_loop,
                                                               Handler handler,
                                                               ErrorResponder error_responder) {
  auto server = std::unique_ptr<HttpServer>(
      new HttpServer(std::move(options), std::move(handler), std::move(error_responder)));
  RETURN_IF_ERROR(server->Listen(event_loop));
  server->listener_->Accept();
  return server;
}

absl::Status HttpServer::Listen(EventLoop& event_loop) {
  listener_ = std::make_unique<Listener>(*this, event_loop);
  const std::string address = absl::StrCat(options_.host, ":", options_.port);
  error_code error;
  const auto endpoints =
      tcp::resolver(listener_->strand.executor())
          .resolve(options_.host, absl::StrCat(options_.port),
                   tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || endpoints.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot resolve ", address, " to listen for HTTP: ", error.message()));
  }
  const tcp::endpoint endpoint = *endpoints.begin();
  tcp::acceptor& acceptor = listener_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for HTTP on ", address, ": ", error.message()));
  }
  listener_->port = acceptor.local_endpoint(error).port();
  return absl::OkStatus();
}

int HttpServer::port() const { return listener_->port; }

void HttpServer::Listener::Accept() {
  auto peer_strand = std::make_shared<AsioStrand>(event_loop.NextContext());
  acceptor.async_accept(
      peer_strand->executor(), [this, peer_strand](error_code error, tcp::socket socket) {
        if (error == boost::asio::error::operation_aborted) return;
        if (error) {
          LOG(WARNING) << "accepting an HTTP connection failed: " << error.message();
          retry = strand.RunAfter(kAcceptRetry, [this] { Accept(); });
          return;
        }
        // Over the limit the socket closes here: refusing must stay cheaper than serving.
        if (auto connection = Admit(std::move(socket), peer_strand)) connection->Start();
        Accept();
      });
}

std::shared_ptr<HttpConnection> HttpServer::Listener::Admit(
    tcp::socket socket, std::shared_ptr<AsioStrand> peer_strand) {
  const absl::MutexLock lock(&server.mutex_);
  const int num_connections = static_cast<int>(server.connections_.size());
  if (server.stopped_ || num_connections >= server.options_.max_connections) return nullptr;
  const uint64_t id = server.next_connection_id_++;
  auto connection =
      std::make_shared<HttpConnection>(server, id, std::move(socket), std::move(peer_strand));
  server.connections_[id] = connection;
  return connection;
}

void HttpServer::Forget(uint64_t connection_id) {
  const absl::MutexLock lock(&mutex_);
  connections_.erase(connection_id);
}

void HttpServer::Stop() {
  listener_->strand.Post([listener = listener_.get()] {
    error_code ignored;
    listener->acceptor.close(ignored);
    listener->retry = nullptr;
  });
  const absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (const auto& [id, weak] : connections_) {
    if (const std::shared_ptr<HttpConnection> connection = weak.lock()) connection->Close();
  }
  mutex_.Await(absl::Condition(
      +[](absl::flat_hash_map<uint64_t, std::weak_ptr<HttpConnection>>* connections) {
        return connections->empty();
      },
      &connections_));
}

}  // namespace tandem
