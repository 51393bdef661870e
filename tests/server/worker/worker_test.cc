// Real workers over loopback gRPC with a tiny checkpoint: a prefill and a decode worker give the
// tokens that the checkpoint's golden data says, and nothing of a request stays behind, however it
// ends.
#include "server/worker/worker.h"

#include <gmock/gmock.h>
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

namespace tandem {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

const char kCheckpoint[] = TANDEM_SOURCE_DIR "/tests/golden/tiny/llama";

struct GoldenCase {
  std::vector<uint32_t> prompt;
  std::vector<uint32_t> greedy;
};

std::vector<GoldenCase> GoldenCases() {
  std::ifstream file(absl::StrCat(kCheckpoint, "/golden.json"));
  std::vector<GoldenCase> cases;
  const nlohmann::json golden = nlohmann::json::parse(file);
  for (const auto& each : golden["cases"]) {
    cases.push_back({each["prompt"], each["greedy"]});
  }
  return cases;
}

// A forked rank never touches gRPC, which would not survive it.
StartRank ForkRank(const RunnerOptions& options) {
  return [options](int rank, int fd) -> absl::StatusOr<pid_t> {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    LOG(ERROR) << "rank " << rank << ": " << RunRank(options, rank, fd);
    _exit(1);
  };
}

// One scheduler process and the workers a test asks for.
class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : controller_(*Controller::Create({})) {
    scheduler_ = v1::Scheduler::NewStub(controller_->InProcessChannel());
  }

  void StartWorker(Role role, const std::string& id, absl::Duration lease = absl::Seconds(10),
                   const ParallelShape& ranks = {}) {
    WorkerOptions options;
    options.instance_id = InstanceId(id);
    options.role = role;
    options.scheduler_address = absl::StrCat("127.0.0.1:", controller_->port());
    options.runner.model_path = kCheckpoint;
    options.runner.kv_dtype = DType::kF32;
    options.runner.max_num_batched_tokens = 32;  // the longest golden prompt takes three chunks
    options.runner.kv_cache_bytes = 4 << 20;
    options.runner.ranks = ranks;
    options.runner.start_rank = ForkRank(options.runner);
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

  // Follows the cluster's state until `done` holds; false after a generous time.
  bool AwaitCluster(const std::function<bool(const v1::ClusterState&)>& done) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const auto reader = scheduler_->Watch(&context, v1::WatchRequest());
    v1::ClusterState state;
    while (reader->Read(&state)) {
      if (!done(state)) continue;
      context.TryCancel();
      return true;
    }
    return false;
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
      if (event.has_stats()) answer.stats = event.stats();
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
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(WorkerTest, APrefillAndADecodeWorkerGiveTheGoldenTokens) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_EQ(answer.finish_reason, v1::FINISH_REASON_LENGTH);
    EXPECT_GT(answer.stats.kv_bytes(), 0);
    EXPECT_FALSE(answer.stats.recomputed());
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, TheSecondTurnOfAChatSendsOnlyWhatIsNew) {
  StartWorker(Role::kPrefill, "prefill-0");
  StartWorker(Role::kDecode, "decode-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer first = Generate(golden);
    // The same prompt with half of its answer: the golden answer goes on where that ends.
    const auto half = golden.greedy.begin() + golden.greedy.size() / 2;
    GoldenCase turn = golden;
    turn.prompt.insert(turn.prompt.end(), golden.greedy.begin(), half);
    turn.greedy.assign(half, golden.greedy.end());
    const Answer second = Generate(turn);
    EXPECT_TRUE(second.status.ok()) << second.status.error_message();
    EXPECT_THAT(second.tokens, ElementsAreArray(turn.greedy));
    const int block_size = 16, num_old = static_cast<int>(golden.prompt.size()) / block_size;
    EXPECT_GE(second.num_cached_tokens, num_old * block_size);
    EXPECT_LE(second.num_cached_tokens, static_cast<int>(turn.prompt.size()));
    // All but the last, unfinished block is at the decode worker.
    const int64_t bytes_per_token = first.stats.kv_bytes() / golden.prompt.size();
    EXPECT_LE(second.stats.kv_bytes(), block_size * bytes_per_token);
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

// Each has another number of ranks than its peer, so heads and layers are dealt out anew on the
// way.
TEST_F(WorkerTest, InstancesOfSeveralRanksHandKvToEachOther) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Seconds(10), {.tp = 2, .pp = 2});
  StartWorker(Role::kDecode, "decode-0", absl::Seconds(10), {.tp = 4});
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_GT(answer.stats.kv_bytes(), 0);
    EXPECT_FALSE(answer.stats.recomputed());
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
  for (const auto& worker : workers_) EXPECT_TRUE(worker->CheckRanks().ok());
}

TEST_F(WorkerTest, AMixedWorkerGivesTheGoldenTokens) {
  StartWorker(Role::kMixed, "mixed-0");
  for (const GoldenCase& golden : GoldenCases()) {
    const Answer answer = Generate(golden);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
    EXPECT_EQ(answer.stats.kv_bytes(), 0);
  }
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, AFailedTransferIsRecomputedAndSaid) {
  StartWorker(Role::kMixed, "mixed-0");
  const GoldenCase golden = GoldenCases()[1];
  const v1::RouteResponse route = Route();
  v1::DecodeRequest decode;
  *decode.mutable_request() = MakeRequest(route, golden);
  decode.set_epoch(route.decode().epoch());
  decode.mutable_prefill()->set_address("127.0.0.1:1");  // nobody is there
  decode.mutable_prefill()->set_epoch(1);
  grpc::ClientContext context;
  Answer answer;
  ReadAll(*stubs_["mixed-0"]->Decode(&context, decode), answer);
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_THAT(answer.tokens, ElementsAreArray(golden.greedy));
  EXPECT_TRUE(answer.stats.recomputed());
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, ACancelledPrefillGivesItsBlocksBackWithoutWaitingForTheLease) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Hours(1));
  v1::PrefillRequest prefill;
  prefill.mutable_request()->set_id(7);
  prefill.mutable_request()->add_prompt(3);
  prefill.mutable_request()->mutable_sampling()->set_max_tokens(4);
  prefill.set_hand_off(true);
  v1::ClusterState state;
  ASSERT_TRUE(AwaitCluster([&state](const v1::ClusterState& now) {
    state = now;
    return true;
  }));
  prefill.set_epoch(state.instances(0).registration().epoch());
  grpc::ClientContext context;
  const auto reader = stubs_["prefill-0"]->Prefill(&context, prefill);
  v1::TokenEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& now) {
    return now.instances(0).stats().blocks_leased_out() > 0;
  }));
  context.TryCancel();
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, KvThatNobodyPullsIsDroppedWhenItsLeaseEnds) {
  StartWorker(Role::kPrefill, "prefill-0", absl::Milliseconds(50));
  v1::PrefillRequest prefill;
  prefill.mutable_request()->set_id(8);
  prefill.mutable_request()->add_prompt(3);
  prefill.mutable_request()->mutable_sampling()->set_max_tokens(4);
  prefill.set_hand_off(true);
  v1::ClusterState state;
  ASSERT_TRUE(AwaitCluster([&state](const v1::ClusterState& now) {
    state = now;
    return true;
  }));
  prefill.set_epoch(state.instances(0).registration().epoch());
  grpc::ClientContext context;
  Answer answer;
  ReadAll(*stubs_["prefill-0"]->Prefill(&context, prefill), answer);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("lease"));
  EXPECT_EQ(answer.tokens.size(), 1);
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, RequestsThatCannotBeAreRefusedByName) {
  StartWorker(Role::kMixed, "mixed-0");
  const v1::RouteResponse route = Route();
  const auto error = [&](const std::function<void(v1::DecodeRequest&)>& change) {
    v1::DecodeRequest decode;
    *decode.mutable_request() = MakeRequest(route, GoldenCases()[0]);
    decode.set_epoch(route.decode().epoch());
    change(decode);
    grpc::ClientContext context;
    Answer answer;
    ReadAll(*stubs_["mixed-0"]->Decode(&context, decode), answer);
    return answer.status;
  };
  grpc::Status status = error([](v1::DecodeRequest& d) { d.set_epoch(1); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("epoch 1"));
  status = error([](v1::DecodeRequest& d) { d.mutable_request()->clear_prompt(); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  status = error([](v1::DecodeRequest& d) { d.mutable_request()->set_prompt(0, 1 << 30); });
  EXPECT_THAT(status.error_message(), HasSubstr("1073741824"));
  status =
      error([](v1::DecodeRequest& d) { d.mutable_request()->mutable_sampling()->set_top_p(2); });
  EXPECT_THAT(status.error_message(), HasSubstr("top_p"));
  EXPECT_TRUE(AwaitAllBlocksBack());
}

TEST_F(WorkerTest, ARoleChangesForThisEpochOnly) {
  StartWorker(Role::kMixed, "mixed-0");
  uint64_t epoch = 0;
  ASSERT_TRUE(AwaitCluster([&epoch](const v1::ClusterState& state) {
    epoch = state.instances(0).registration().epoch();
    return true;
  }));
  const auto set_role = [&](uint64_t of_epoch, v1::Role role) {
    grpc::ClientContext context;
    v1::SetRoleRequest request;
    request.set_epoch(of_epoch);
    request.set_role(role);
    v1::SetRoleResponse response;
    return stubs_["mixed-0"]->SetRole(&context, request, &response);
  };
  EXPECT_EQ(set_role(epoch + 1, v1::ROLE_PREFILL).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(set_role(epoch, v1::ROLE_UNSPECIFIED).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(set_role(epoch, v1::ROLE_DECODE).ok());
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return state.instances(0).registration().role() == v1::ROLE_DECODE;
  }));
}

TEST_F(WorkerTest, ADrainedWorkerEndsCleanAndLeavesTheCluster) {
  StartWorker(Role::kMixed, "mixed-0");
  EXPECT_TRUE(workers_[0]->Drain(absl::Seconds(5)));
  EXPECT_TRUE(AwaitCluster([](const v1::ClusterState& state) {
    return state.instances().empty() && !state.servable();
  }));
}

}  // namespace
}  // namespace tandem
