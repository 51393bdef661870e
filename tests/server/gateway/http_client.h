// A blocking HTTP/1.1 client that shows what came over the wire, chunk by chunk.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/core/log.h"
#include "nlohmann/json.hpp"

namespace tandem::testing {

using Json = nlohmann::ordered_json;

struct ClientResponse {
  int status = 0;
  std::string head;          // status line and headers
  std::string body;          // without chunk framing
  bool is_complete = false;  // the whole body came: a length, or the final chunk

  std::string Header(absl::string_view name) const {
    for (absl::string_view line : absl::StrSplit(head, "\r\n")) {
      const std::pair<absl::string_view, absl::string_view> field =
          absl::StrSplit(line, absl::MaxSplits(": ", 1));
      if (absl::EqualsIgnoreCase(field.first, name)) return std::string(field.second);
    }
    return "";
  }
  Json json() const { return Json::parse(body, nullptr, false); }

  // The data of each server-sent event; comments are left out.
  std::vector<std::string> Events() const {
    std::vector<std::string> events;
    for (absl::string_view event : absl::StrSplit(body, "\n\n", absl::SkipEmpty())) {
      if (absl::ConsumePrefix(&event, "data: ")) events.emplace_back(event);
    }
    return events;
  }
  // Those that are JSON, parsed.
  std::vector<Json> Chunks() const {
    std::vector<Json> chunks;
    for (const std::string& event : Events()) {
      if (event != "[DONE]") chunks.push_back(Json::parse(event));
    }
    return chunks;
  }
};

class ClientConnection {
 public:
  explicit ClientConnection(int port, int receive_buffer_bytes = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    CHECK(socket_ >= 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                   sizeof(receive_buffer_bytes));
    }
    const timeval patience = {.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }
  ~ClientConnection() { Close(); }
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  void Close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void SendRequest(absl::string_view method, absl::string_view path, absl::string_view body = "",
                   absl::string_view headers = "") {
    Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\n", headers,
                      method == "POST" ? "Content-Type: application/json\r\n" : "",
                      "Content-Length: ", body.size(), "\r\n\r\n", body));
  }

  // Reads until `text` has come (in what Read has not taken yet); false if the stream ends first.
  bool ReadUntil(absl::string_view text) {
    while (!absl::StrContains(buffer_, text)) {
      if (!Fill()) return false;
    }
    return true;
  }

  // One response. For HEAD there is no body to wait for.
  ClientResponse Read(bool has_body = true) {
    ClientResponse response;
    if (!ReadUntil("\r\n\r\n")) return response;
    const size_t end = buffer_.find("\r\n\r\n");
    response.head = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    CHECK(absl::SimpleAtoi(response.head.substr(9, 3), &response.status)) << response.head;
    if (response.status == 100 || !has_body) return response;
    size_t length = 0;
    if (absl::SimpleAtoi(response.Header("Content-Length"), &length)) {
      while (buffer_.size() < length && Fill()) {
      }
      response.is_complete = buffer_.size() >= length;
      response.body = buffer_.substr(0, length);
      buffer_.erase(0, length);
    } else if (response.Header("Transfer-Encoding") == "chunked") {
      response.is_complete = ReadChunks(response.body);
    } else {
      while (Fill()) {
      }
      response.body = std::exchange(buffer_, "");
      response.is_complete = true;
    }
    return response;
  }

  // True once the server has closed its side and nothing is left.
  bool IsClosed() { return buffer_.empty() && !Fill(); }

 private:
  bool Fill() {
    char bytes[16 * 1024];
    const ssize_t size = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }

  bool ReadChunks(std::string& body) {
    for (;;) {
      if (!ReadUntil("\r\n")) return false;
      const size_t end = buffer_.find("\r\n");
      const size_t size = std::stoul(buffer_.substr(0, end), nullptr, 16);
      while (buffer_.size() < end + 2 + size + 2) {
        if (!Fill()) return false;
      }
      body += buffer_.substr(end + 2, size);
      buffer_.erase(0, end + 2 + size + 2);
      if (size == 0) return true;
    }
  }

  int socket_ = -1;
  std::string buffer_;
};

// One request on a connection of its own.
inline ClientResponse Fetch(int port, absl::string_view method, absl::string_view path,
                            absl::string_view body = "", absl::string_view headers = "") {
  ClientConnection connection(port);
  connection.SendRequest(method, path, body, headers);
  return connection.Read(/*has_body=*/method != "HEAD");
}

}  // namespace tandem::testing
