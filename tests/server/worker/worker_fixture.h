// A scheduler and real workers in this process, with a tiny checkpoint, and a client that does what
// a gateway does.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/runner/rank_main.h"
#include "proto/scheduler.grpc.pb.h"
#include "proto/worker.grpc.pb.h"
#include "server/controller/controller.h"
#include "server/worker/worker.h"
#include "tests/server/await_cluster.h"

namespace tandem {

inline constexpr char kTinyCheckpoint[] = TANDEM_SOURCE_DIR "/tests/golden/tiny/llama";

struct GoldenCase {
  std::vector<uint32_t> prompt;
  std::vector<uint32_t> greedy;
};

inline std::vector<GoldenCase> GoldenCases() {
  std::ifstream file(absl::StrCat(kTinyCheckpoint, "/golden.json"));
  std::vector<GoldenCase> cases;
  const nlohmann::json golden = nlohmann::json::parse(file);
  for (const auto& each : golden["cases"]) {
    cases.push_back({each["prompt"], each["greedy"]});
  }
  return cases;
}

// A forked rank never touches gRPC, which would not survive it.
inline StartRank ForkRank(const RunnerOptions& options) {
  return [options](int rank, int fd) -> absl::StatusOr<pid_t> {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    LOG(ERROR) << "rank " << rank << ": " << RunRank(options, rank, fd);
    _exit(1);
  };
}

// One scheduler process and the workers a test asks for.
class WorkerFixture : public testing::Test {
 protected:
  WorkerFixture() : controller_(*Controller::Create({})) {
    scheduler_ = v1::Scheduler::NewStub(controller_->InProcessChannel());
  }

  void StartWorker(Role role, const std::string& id, absl::Duration lease = absl::Seconds(10),
                   const ParallelShape& ranks = {}) {
    WorkerOptions options;
    options.instance_id = InstanceId(id);
    options.role = role;
    options.scheduler_address = absl::StrCat("127.0.0.1:", controller_->port());
    options.runner.model_path = kTinyCheckpoint;
    options.runner.kv_dtype = DType::kF32;
    options.runner.max_num_batched_tokens = 32;  // the longest golden prompt takes three chunks
    options.runner.kv_cache_bytes = 4 << 20;
    options.runner.ranks = ranks;
    options.runner.start_rank = [this, start = ForkRank(options.runner)](int rank, int fd) {
      absl::StatusOr<pid_t> pid = start(rank, fd);
      if (pid.ok()) ranks_.push_back(*pid);
      return pid;
    };
    options.max_num_seqs = 8;
    options.kv_lease = lease;
    auto worker = Worker::Create(options);
    ASSERT_TRUE(worker.ok()) << worker.status();
    const std::string address = absl::StrCat("127.0.0.1:", (*worker)->port());
    stubs_[id] =
        v1::Worker::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    workers_.push_back(*std::move(worker));
    AwaitRegistered(workers_.size());
  }

  bool AwaitCluster(const std::function<bool(const v1::ClusterState&)>& done) {
    return tandem::AwaitCluster(*scheduler_, done);
  }

  void AwaitRegistered(size_t count) {
    ASSERT_TRUE(AwaitCluster([count](const v1::ClusterState& state) {
      return state.instances_size() == static_cast<int>(count);
    }));
  }

  // Every block of every worker is free or cached again.
  bool AwaitAllBlocksBack() {
    return AwaitCluster([](const v1::ClusterState& state) {
      for (const auto& instance : state.instances()) {
        const v1::WorkerStats& stats = instance.stats();
        if (stats.blocks_free() + stats.blocks_cached() != stats.blocks_total()) return false;
      }
      return true;
    });
  }

  v1::RouteResponse Route() {
    grpc::ClientContext context;
    v1::RouteRequest request;
    request.set_num_prompt_tokens(16);
    v1::RouteResponse response;
    const grpc::Status status = scheduler_->Route(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static v1::EngineRequest MakeRequest(const v1::RouteResponse& route, const GoldenCase& golden) {
    v1::EngineRequest request;
    request.set_id(route.request_id());
    request.set_attempt(route.attempt());
    request.mutable_prompt()->Add(golden.prompt.begin(), golden.prompt.end());
    request.mutable_sampling()->set_temperature(0);
    request.mutable_sampling()->set_max_tokens(static_cast<int>(golden.greedy.size()));
    return request;
  }

  struct Answer {
    std::vector<uint32_t> tokens;
    v1::FinishReason finish_reason = v1::FINISH_REASON_UNSPECIFIED;
    int num_cached_tokens = 0;
    v1::RequestStats stats;
    size_t num_tokens_at_stats = 0;  // when they came
    grpc::Status status;
  };

  static void ReadAll(grpc::ClientReader<v1::TokenEvent>& reader, Answer& answer) {
    v1::TokenEvent event;
    while (reader.Read(&event)) {
      for (int i = 0; i < event.tokens_size(); ++i) {
        EXPECT_EQ(event.index() + i, static_cast<int>(answer.tokens.size()));
        answer.tokens.push_back(event.tokens(i).token());
      }
      if (event.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) {
        answer.finish_reason = event.finish_reason();
      }
      answer.num_cached_tokens = std::max(answer.num_cached_tokens, event.cached_tokens());
      if (event.has_stats()) {
        answer.stats = event.stats();
        answer.num_tokens_at_stats = answer.tokens.size();
      }
    }
    answer.status = reader.Finish();
  }

  // As a gateway does it: Prefill and Decode at once, the first token from one, the rest from the
  // other.
  Answer Generate(const GoldenCase& golden) {
    const v1::RouteResponse route = Route();
    Answer answer;
    v1::DecodeRequest decode;
    *decode.mutable_request() = MakeRequest(route, golden);
    decode.set_epoch(route.decode().epoch());
    grpc::ClientContext prefill_context, decode_context;
    std::unique_ptr<grpc::ClientReader<v1::TokenEvent>> prefill_reader;
    if (route.has_prefill()) {
      v1::PrefillRequest prefill;
      *prefill.mutable_request() = decode.request();
      prefill.set_epoch(route.prefill().epoch());
      prefill.set_hand_off(true);
      decode.mutable_prefill()->set_address(route.prefill().address());
      decode.mutable_prefill()->set_epoch(route.prefill().epoch());
      prefill_reader = stubs_[route.prefill().instance_id()]->Prefill(&prefill_context, prefill);
    }
    const auto decode_reader =
        stubs_[route.decode().instance_id()]->Decode(&decode_context, decode);
    if (prefill_reader != nullptr) ReadAll(*prefill_reader, answer);
    ReadAll(*decode_reader, answer);
    return answer;
  }

  std::unique_ptr<Controller> controller_;
  std::unique_ptr<v1::Scheduler::Stub> scheduler_;
  std::map<std::string, std::unique_ptr<v1::Worker::Stub>> stubs_;
  std::vector<pid_t> ranks_;  // of all workers, other than the first of each
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace tandem
