#include "server/worker/worker.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/event_log/event_log_file.h"
#include "server/grpc_channel.h"
#include "server/worker/advertised_address.h"
#include "server/worker/convert.h"
#include "server/worker/kv_messages.h"
#include "server/worker/registration.h"
#include "server/worker/step_loop.h"
#include "server/worker/worker_service.h"

namespace tandem {
namespace {

v1::Role ToProto(Role role) {
  switch (role) {
    case Role::kPrefill:
      return v1::ROLE_PREFILL;
    case Role::kDecode:
      return v1::ROLE_DECODE;
    case Role::kMixed:
      break;
  }
  return v1::ROLE_MIXED;
}

// Before the end of a drain, for what is handed over last: a new route, and the calls to its
// workers.
constexpr absl::Duration kHandOverReserve = absl::Seconds(2);

// Of one block, one way, once both have been touched.
absl::Duration MeasureBlockCopy(ModelRunner& runner) {
  constexpr int kRepetitions = 3;
  std::vector<BlockCopy> copies;
  const int num_blocks = std::min({4, runner.num_host_blocks(), runner.kv_cache().num_blocks()});
  for (BlockId block = 0; block < num_blocks; ++block) {
    copies.push_back({.direction = CopyDirection::kOut, .block = block, .host_block = block});
    copies.push_back({.direction = CopyDirection::kIn, .block = block, .host_block = block});
  }
  if (copies.empty()) return absl::ZeroDuration();
  absl::Duration best = absl::InfiniteDuration();
  for (int i = 0; i < kRepetitions; ++i) {
    const absl::Time begin = absl::Now();
    runner.Copy(copies);
    best = std::min(best, absl::Now() - begin);
  }
  const absl::Duration time = best / static_cast<int64_t>(copies.size());
  LOG(INFO) << "host tier of " << runner.num_host_blocks() << " KV blocks of "
            << runner.kv_cache().StoredBlockBytes() << " bytes; copying one takes " << time;
  return time;
}

uint64_t RandomEpoch() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

// Nothing is left that a peer or client could still want.
bool IsIdle(const StepLoopStats& stats) {
  const SchedulerStats& from = stats.scheduler;
  return stats.idle && from.waiting_requests + from.expected_requests + from.prefilling_requests +
                               from.decoding_requests + from.receiving_requests +
                               from.leased_requests ==
                           0;
}

int PrefillBatchTokens(const WorkerOptions& options, Isa isa) {
  if (options.prefill_batch_tokens > 0) return options.prefill_batch_tokens;
  return SaturatingTokens(isa);
}

// All that a token depends on beside the model's file: sums run in another order, or in other
// types.
std::string Numerics(const RunnerOptions& options, Isa isa, DType kv) {
  return absl::StrCat(IsaName(isa), options.ops.quantize_activations ? "" : " float", ", tp ",
                      options.ranks.tp, ", kv ", GetDTypeInfo(kv).name);
}

class GrpcWorker : public Worker {
 public:
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const WorkerOptions& options);
  ~GrpcWorker() override { Stop(); }

  int port() const override { return port_; }
  absl::Status CheckRanks() const override { return runner_->CheckRanks(); }
  bool Drain(absl::Duration timeout) override;

 private:
  absl::Status OpenEventLog(const WorkerOptions& options);
  LineSink EventLogSink() const;
  absl::Status Listen(const WorkerOptions& options);
  void Register(const WorkerOptions& options);
  void Stop();

  // In the order of construction; Stop ends them from the last to the first.
  uint64_t epoch_ = RandomEpoch();
  std::unique_ptr<EventLogFile> event_log_;  // null: none
  std::unique_ptr<ModelRunner> runner_;
  std::unique_ptr<StepLoop> loop_;
  std::unique_ptr<WorkerService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Registration> registration_;
  int port_ = 0;
};

absl::StatusOr<std::unique_ptr<Worker>> GrpcWorker::Create(const WorkerOptions& options) {
  KeepFreedFrames();
  auto worker = std::make_unique<GrpcWorker>();
  RETURN_IF_ERROR(worker->OpenEventLog(options));
  ASSIGN_OR_RETURN(worker->runner_, ModelRunner::Create(options.runner));
  const KvCache& cache = worker->runner_->kv_cache();
  ASSIGN_OR_RETURN(auto scheduler,
                   InstanceScheduler::Create(
                       {.num_blocks = cache.num_blocks(),
                        .block_size = cache.layout().block_size,
                        .num_host_blocks = worker->runner_->num_host_blocks(),
                        .block_copy_time = MeasureBlockCopy(*worker->runner_),
                        .max_model_len = worker->runner_->max_model_len(),
                        .max_num_seqs = options.max_num_seqs,
                        .max_num_batched_tokens = options.runner.max_num_batched_tokens,
                        .prefill_batch_tokens = PrefillBatchTokens(options, worker->runner_->isa()),
                        .max_queued_requests = options.max_queued_requests,
                        .prefix_caching = options.prefix_caching,
                        .depth = worker->runner_->depth(),
                        .lease = options.kv_lease}));
  worker->loop_ = std::make_unique<StepLoop>(
      std::move(scheduler), worker->runner_.get(),
      StepLoop::Options{.health_timeout = options.health_timeout,
                        .many_tokens = ManyTokens(worker->runner_->isa()),
                        .event_log = worker->EventLogSink()});
  worker->service_ = std::make_unique<WorkerService>(
      WorkerService::Options{.epoch = worker->epoch_,
                             .vocab_size = worker->runner_->config().vocab_size,
                             .cache = &worker->runner_->kv_cache(),
                             .loop = worker->loop_.get(),
                             .lease = options.kv_lease,
                             .set_role = [worker = worker.get()](v1::Role role) {
                               worker->registration_->SetRole(role);
                             }});
  RETURN_IF_ERROR(worker->Listen(options));
  worker->loop_->Start();
  worker->Register(options);
  return worker;
}

absl::Status GrpcWorker::OpenEventLog(const WorkerOptions& options) {
  if (options.event_log.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(event_log_, EventLogFile::Create(InstanceLogPath(
                                   options.event_log, options.instance_id.value(), epoch_)));
  return absl::OkStatus();
}

LineSink GrpcWorker::EventLogSink() const {
  if (event_log_ == nullptr) return nullptr;
  return [log = event_log_.get()](absl::string_view line) { log->Append(line); };
}

absl::Status GrpcWorker::Listen(const WorkerOptions& options) {
  const std::string address = absl::StrCat(options.host, ":", options.grpc_port);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  SetKvServerArguments(builder);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port_ == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address,
                                               ": the port is in use or the address is not ours"));
  }
  return absl::OkStatus();
}

void GrpcWorker::Register(const WorkerOptions& options) {
  const ModelConfig& config = runner_->config();
  v1::RegisterRequest self;
  self.set_instance_id(options.instance_id.value());
  self.set_epoch(epoch_);
  self.set_role(ToProto(options.role));
  self.set_address(AdvertisedAddress(options.advertise_address, options.host, port_));
  self.mutable_model()->set_name(config.name);
  self.mutable_model()->set_content_hash(runner_->content_hash());
  self.mutable_model()->set_max_model_len(runner_->max_model_len());
  self.mutable_model()->set_numerics(
      Numerics(options.runner, runner_->isa(), runner_->kv_cache().layout().dtype));
  *self.mutable_layout() = tandem::ToProto(runner_->kv_cache().layout());
  self.set_blocks_total(runner_->kv_cache().num_blocks());
  self.set_pid(getpid());
  self.set_compute(absl::StrCat(self.model().numerics(), ", pp ", options.runner.ranks.pp, ", ",
                                options.runner.ops.num_threads, " threads"));
  v1::InstanceBudgets& budgets = *self.mutable_budgets();
  budgets.set_max_num_seqs(options.max_num_seqs);
  budgets.set_max_num_batched_tokens(options.runner.max_num_batched_tokens);
  budgets.set_prefill_batch_tokens(PrefillBatchTokens(options, runner_->isa()));
  budgets.set_max_queued_requests(options.max_queued_requests);
  budgets.set_depth(runner_->depth());
  budgets.set_prefix_caching(options.prefix_caching);
  v1::InstanceShape& shape = *self.mutable_shape();
  shape.set_tp(options.runner.ranks.tp);
  shape.set_pp(options.runner.ranks.pp);
  shape.set_threads(options.runner.ops.num_threads);
  shape.set_device(DeviceName(options.cpu, options.runner.ops.num_threads, runner_->isa()));
  shape.set_weight_bytes(options.weight_bytes);
  registration_ = std::make_unique<Registration>(CreateControlChannel(options.scheduler_address),
                                                 std::move(self),
                                                 [this](bool is_first, v1::HeartbeatRequest& beat) {
                                                   service_->FillHeartbeat(is_first, beat);
                                                 });
  // Only now can somebody know this worker's epoch, and ask it for another role.
  registration_->Start();
}

bool GrpcWorker::Drain(absl::Duration timeout) {
  service_->SetDraining();
  registration_->SetDraining();
  const absl::Time give_up = absl::Now() + timeout;
  const absl::Time hand_over = give_up - std::min(kHandOverReserve, timeout / 4);
  bool clean = false;  // as of the look that ends it: another one may find a heartbeat's message
  // One look per poll at what changes only step by step; nobody is woken for less.
  while (CheckRanks().ok() && !(clean = IsIdle(loop_->Stats(absl::Now()))) &&
         absl::Now() < give_up) {
    loop_->HandOver(hand_over);
    absl::SleepFor(absl::Milliseconds(20));
  }
  Stop();
  return clean;
}

void GrpcWorker::Stop() {
  if (registration_ != nullptr) registration_->Stop();
  if (server_ != nullptr)
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  if (loop_ != nullptr) loop_->Stop();
  if (service_ != nullptr) service_->StopKvStreams();
  if (server_ != nullptr) server_->Wait();
}

}  // namespace

// On a core with AVX2, 64 have 98% of the best rate (docs/performance.md). Where there is AMX,
// reading the weights takes as long as the products with 100 rows and more.
int SaturatingTokens(Isa isa) { return isa == Isa::kAmx ? 256 : 64; }

// engine/kernels/cpu: rows whose products with 8-bit and narrower weights keep their sums in
// registers while these are unpacked (kQuantChains), and one more; or those that tiles take
// (kMinTileRows).
int ManyTokens(Isa isa) {
  switch (isa) {
    case Isa::kAmx:
      return 8;
    case Isa::kAvx512:
    case Isa::kAvx512Bf16:
      return 9;
    case Isa::kAvx2:
      return 5;
    default:
      return 3;
  }
}

std::string DeviceName(absl::string_view cpu, int num_threads, Isa isa) {
  return absl::StrCat(cpu, ", ", num_threads, num_threads == 1 ? " thread, " : " threads, ",
                      IsaName(isa));
}

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(const WorkerOptions& options) {
  return GrpcWorker::Create(options);
}

}  // namespace tandem
