// A client of no server, for tests of what sends at set times.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "server/bench/load_run.h"

namespace tandem {

// What fake clients have been asked, and how they answer.
struct FakeServer {
  std::mutex mutex;
  std::set<std::string> ids;
  std::vector<Ask> asks;
  bool answers = true;
  RequestRecord::Outcome outcome = RequestRecord::Outcome::kServed;
  std::string error;
};

// Answers at once, with 5 ms of made up latency.
class FakeExchange : public Exchange {
 public:
  FakeExchange(boost::asio::io_context& context, FakeServer& server)
      : context_(context), server_(server) {}

  void Start(RequestRecord& record, Done done) override {
    work_.emplace(context_.get_executor());
    record_ = &record;
    done_ = std::move(done);
    if (server_.answers) Finish(server_.outcome, server_.error);
  }

  void Cancel(const std::string& reason) override {
    Finish(RequestRecord::Outcome::kFailed, reason);
  }

 private:
  void Finish(RequestRecord::Outcome outcome, const std::string& error) {
    boost::asio::post(context_, [this, outcome, error] {
      if (done_ == nullptr) return;
      record_->outcome = outcome;
      record_->error = error;
      record_->ttft = record_->latency = absl::Milliseconds(5);
      record_->output_tokens = 1;
      work_.reset();
      std::exchange(done_, nullptr)();
    });
  }

  boost::asio::io_context& context_;
  FakeServer& server_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  RequestRecord* record_ = nullptr;
  Done done_;
};

class FakeClient : public Client {
 public:
  FakeClient(boost::asio::io_context& context, FakeServer& server)
      : context_(context), server_(server) {}

  std::shared_ptr<Exchange> Prepare(const Ask& ask) override {
    const std::lock_guard<std::mutex> lock(server_.mutex);
    server_.ids.insert(ask.id);
    server_.asks.push_back(ask);
    exchanges_.push_back(std::make_shared<FakeExchange>(context_, server_));
    return exchanges_.back();
  }

 private:
  boost::asio::io_context& context_;
  FakeServer& server_;
  std::vector<std::shared_ptr<FakeExchange>> exchanges_;  // until their handlers have run
};

inline ClientFactory FakeClients(FakeServer& server) {
  return [&server](boost::asio::io_context& context) {
    return std::make_unique<FakeClient>(context, server);
  };
}

}  // namespace tandem
