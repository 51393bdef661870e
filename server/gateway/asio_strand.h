// Strand on Boost.Asio; apart from executor.h so that few files read Asio's headers.
#pragma once

#include <memory>

#include "boost/asio/io_context.hpp"
#include "boost/asio/strand.hpp"
#include "server/gateway/executor.h"

namespace tandem {

class AsioStrand : public Strand {
 public:
  using Executor = boost::asio::strand<boost::asio::io_context::executor_type>;

  explicit AsioStrand(std::shared_ptr<boost::asio::io_context> context);

  void Post(Task task) override;
  std::unique_ptr<Timer> RunAfter(absl::Duration delay, Task task) override;
  const Executor& executor() const { return executor_; }

 private:
  const std::shared_ptr<boost::asio::io_context> context_;  // outlives the executor
  const Executor executor_;
};

}  // namespace tandem
