// A server that answers any completion at a fixed pace, to see what the load tester itself can do:
//   build/stub_server PORT TTFT_MS TPOT_MS
// The number of tokens is the request's "max_tokens". One thread; a connection is kept if its
// request does not ask to close it.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/read_until.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"

namespace tandem {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

struct Pace {
  std::chrono::microseconds ttft, tpot;
};

// The number behind `name` in `text`.
int NumberAfter(absl::string_view text, absl::string_view name, int fallback) {
  const size_t found = text.find(name);
  if (found == absl::string_view::npos) return fallback;
  text.remove_prefix(found + name.size());
  text = text.substr(0, text.find_first_not_of("0123456789 "));
  int number = fallback;
  return absl::SimpleAtoi(text, &number) ? number : fallback;
}

std::string Chunk(const std::string& data) {
  return absl::StrFormat("%x\r\n%s\r\n", data.size(), data);
}

std::string TokenEvent() {
  return "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,"
         "\"model\":\"stub\",\"choices\":[{\"index\":0,\"text\":\" word\",\"logprobs\":null,"
         "\"finish_reason\":null}],\"usage\":null}\n\n";
}

std::string LastEvents(int num_tokens) {
  return absl::StrCat(TokenEvent(),
                      "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[],"
                      "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":",
                      num_tokens, "}}\n\ndata: [DONE]\n\n");
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Tcp::socket socket, const Pace& pace)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), pace_(pace) {}

  void ReadHead() {
    asio::async_read_until(socket_, asio::dynamic_buffer(request_), "\r\n\r\n",
                           [self = shared_from_this()](error_code error, size_t size) {
                             if (error) return;
                             self->received_ = Clock::now();
                             const absl::string_view head =
                                 absl::string_view(self->request_).substr(0, size);
                             self->closes_ = absl::StrContains(head, "Connection: close");
                             self->ReadBody(size, NumberAfter(head, "Content-Length: ", 0));
                           });
  }

 private:
  void ReadBody(size_t head, size_t length) {
    const size_t there = request_.size() - head;
    asio::async_read(socket_, asio::dynamic_buffer(request_),
                     asio::transfer_exactly(there < length ? length - there : 0),
                     [self = shared_from_this()](error_code error, size_t) {
                       if (!error) self->Answer();
                     });
  }

  void Answer() {
    if (absl::StartsWith(request_, "GET")) {
      const std::string body = "{\"object\":\"list\",\"data\":[{\"id\":\"stub\"}]}";
      closes_ = true;
      return Write(
          absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body), true);
    }
    num_tokens_ = NumberAfter(request_, "\"max_tokens\":", 1);
    num_sent_ = 0;
    WaitForToken();
  }

  void WaitForToken() {
    timer_.expires_at(received_ + pace_.ttft + num_sent_ * pace_.tpot);
    timer_.async_wait([self = shared_from_this()](error_code) { self->SendToken(); });
  }

  void SendToken() {
    std::string bytes;
    if (num_sent_++ == 0) {
      bytes =
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: "
          "chunked\r\n\r\n";
    }
    const bool is_last = num_sent_ >= num_tokens_;
    bytes += Chunk(is_last ? LastEvents(num_tokens_) : TokenEvent());
    Write(is_last ? bytes + "0\r\n\r\n" : bytes, is_last);
  }

  void Write(std::string bytes, bool is_last) {
    answer_ = std::move(bytes);
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this(), is_last](error_code error, size_t) {
                        if (error) return;
                        if (!is_last) return self->WaitForToken();
                        if (self->closes_) return;
                        self->request_.clear();
                        self->ReadHead();
                      });
  }

  Tcp::socket socket_;
  asio::steady_timer timer_;
  const Pace pace_;
  std::string request_, answer_;
  Clock::time_point received_;
  bool closes_ = false;
  int num_tokens_ = 1, num_sent_ = 0;
};

void Accept(Tcp::acceptor& acceptor, const Pace& pace) {
  acceptor.async_accept([&acceptor, &pace](error_code error, Tcp::socket socket) {
    if (!error) {
      socket.set_option(Tcp::no_delay(true), error);
      std::make_shared<Connection>(std::move(socket), pace)->ReadHead();
    }
    Accept(acceptor, pace);
  });
}

int Serve(int port, const Pace& pace) {
  asio::io_context context{1};
  Tcp::acceptor acceptor(context);
  const Tcp::endpoint endpoint(asio::ip::address_v4::loopback(), static_cast<uint16_t>(port));
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  acceptor.set_option(asio::socket_base::reuse_address(true), error);
  acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(4096, error);
  if (error) {
    std::cerr << "cannot listen on " << endpoint << ": " << error.message() << std::endl;
    return 1;
  }
  Accept(acceptor, pace);
  std::cout << "listening " << acceptor.local_endpoint() << std::endl;
  context.run();
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: stub_server PORT TTFT_MS TPOT_MS" << std::endl;
    return 2;
  }
  const auto microseconds = [](const char* ms) {
    return std::chrono::microseconds(static_cast<int64_t>(1000 * std::atof(ms)));
  };
  return tandem::Serve(std::atoi(argv[1]), {microseconds(argv[2]), microseconds(argv[3])});
}
