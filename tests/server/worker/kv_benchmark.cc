// How fast KV travels from the pool of one process to that of another over loopback: the pull as
// workers do it (frames, checksums, gRPC) beside a plain socket loop over the same blocks, in turn.
// Contiguous blocks and 10,000 scattered ones; the pull as one stream or dealt out to several, each
// on a channel of its own.
//
//   kv_benchmark [REPETITIONS [TEXT]]
//
// Of all rows, or of those whose names have TEXT in them, it prints medians with the slowest and
// the fastest, and ratios to the fastest socket loop.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "engine/core/log.h"
#include "engine/runner/model_runner.h"
#include "proto/worker.grpc.pb.h"
#include "server/worker/kv_messages.h"
#include "server/worker/kv_puller.h"
#include "server/worker/kv_source_call.h"

namespace tandem {
namespace {

// Blocks of the default model; two layers of them are far more than caches hold.
constexpr int kNumBlocks = 10'000;
const KvLayout kLayout{
    .num_layers = 2, .num_kv_heads = 3, .head_dim = 64, .block_size = 16, .dtype = DType::kF16};
constexpr int kNumTokens = kNumBlocks * 16;
constexpr uint64_t kEpoch = 77;
constexpr size_t kSendBytes = 2 << 20;  // of a socket's write

enum Shape { kContiguous = 0, kScattered = 1 };

// The sequence's blocks. Where they are scattered, the two ends have them in different places.
std::vector<BlockId> BlockTable(Shape shape, bool at_source) {
  std::vector<BlockId> table(kNumBlocks);
  std::iota(table.begin(), table.end(), 0);
  if (shape == kScattered) {
    std::shuffle(table.begin(), table.end(), std::mt19937(at_source ? 1 : 2));
  }
  return table;
}

// The blocks [begin, end) of part `i` of `n`.
std::vector<BlockId> Part(const std::vector<BlockId>& table, int i, int n) {
  return {table.begin() + int64_t{kNumBlocks} * i / n,
          table.begin() + int64_t{kNumBlocks} * (i + 1) / n};
}

template <typename Visit>
void ForEachRange(Visit visit) {
  for (int layer = 0; layer < kLayout.num_layers; ++layer) {
    visit(layer, KvComponent::kKeys);
    visit(layer, KvComponent::kValues);
  }
}

// Depends on every byte and its place in the sequence.
uint64_t Checksum(const KvCache& cache, const std::vector<BlockId>& table) {
  uint64_t sum = 0;
  ForEachRange([&](int layer, KvComponent component) {
    for (const auto run : cache.Read(layer, component, table, 0, kNumTokens)) {
      for (size_t i = 0; i < run.size(); i += sizeof(uint64_t)) {
        uint64_t word;
        std::memcpy(&word, run.data() + i, sizeof(word));
        sum = sum * 0x9e3779b97f4a7c15 + word;
      }
    }
  });
  return sum;
}

void Fill(KvCache& cache) {
  std::mt19937_64 random(3);
  ForEachRange([&](int layer, KvComponent component) {
    for (const auto run :
         cache.Write(layer, component, BlockTable(kContiguous, true), 0, kNumTokens)) {
      for (size_t i = 0; i < run.size(); i += sizeof(uint64_t)) {
        const uint64_t word = random();
        std::memcpy(run.data() + i, &word, sizeof(word));
      }
    }
  });
}

// The runs of the whole sequence, none longer than `most`.
std::vector<iovec> Pieces(const KvCache& cache, const std::vector<BlockId>& table, size_t most) {
  std::vector<iovec> pieces;
  ForEachRange([&](int layer, KvComponent component) {
    for (auto run : cache.Read(layer, component, table, 0, kNumTokens)) {
      while (!run.empty()) {
        const auto piece = run.subspan(0, most);
        pieces.push_back({const_cast<uint8_t*>(piece.data()), piece.size()});
        run.remove_prefix(piece.size());
      }
    }
  });
  return pieces;
}

// readv or writev until `pieces` are through, at most `most_bytes` a call.
template <typename Call>
void MoveAll(Call call, std::vector<iovec> pieces, size_t most_bytes) {
  constexpr size_t kMostPieces = 1024;  // the kernel's limit
  for (size_t next = 0; next < pieces.size();) {
    size_t count = 0, bytes = 0;
    while (next + count < pieces.size() && count < kMostPieces &&
           (count == 0 || bytes + pieces[next + count].iov_len <= most_bytes)) {
      bytes += pieces[next + count++].iov_len;
    }
    ssize_t moved = call(&pieces[next], static_cast<int>(count));
    CHECK(moved > 0) << std::strerror(errno);
    while (moved > 0) {
      const size_t part = std::min<size_t>(moved, pieces[next].iov_len);
      pieces[next].iov_base = static_cast<uint8_t*>(pieces[next].iov_base) + part;
      pieces[next].iov_len -= part;
      moved -= part;
      if (pieces[next].iov_len == 0) ++next;
    }
  }
}

// What the puller's process asks of the source's; the answer is one word.
struct Command {
  enum Kind { kChecksum, kPreparePull, kPrepareSend, kSend } kind;
  Shape shape = kContiguous;
  int num_parts = 1;
  uint64_t first_id = 0;
};

template <typename T>
void Put(int fd, const T& value) {
  CHECK(write(fd, &value, sizeof(value)) == sizeof(value));
}

// False at the end of the stream.
template <typename T>
bool Take(int fd, T& value) {
  return recv(fd, &value, sizeof(value), MSG_WAITALL) == sizeof(value);
}

std::unique_ptr<KvCache> CreateCache() {
  auto cache = KvCache::Create(kLayout, kNumBlocks);
  CHECK_OK(cache.status());
  return *std::move(cache);
}

// Only for what KvSourceCall posts to it: it is not started.
class IdleLoop {
 public:
  IdleLoop() {
    auto runner = ModelRunner::Create(
        {.model_path = TANDEM_SOURCE_DIR "/tests/golden/tiny/llama", .kv_cache_bytes = 4 << 20});
    CHECK_OK(runner.status());
    runner_ = *std::move(runner);
    auto scheduler = InstanceScheduler::Create({.num_blocks = runner_->kv_cache().num_blocks(),
                                                .max_model_len = runner_->max_model_len()});
    CHECK_OK(scheduler.status());
    loop_ = std::make_unique<StepLoop>(*std::move(scheduler), runner_.get(), StepLoop::Options());
  }
  StepLoop* get() { return loop_.get(); }

 private:
  std::unique_ptr<ModelRunner> runner_;
  std::unique_ptr<StepLoop> loop_;
};

// PullKv as a worker has it.
class SourceService : public v1::Worker::WithRawCallbackMethod_PullKv<v1::Worker::Service> {
 public:
  explicit SourceService(const KvCache* cache) : table_(kLayout.num_layers), cache_(cache) {}

  // The prompts, computed, of `command`.
  void Prepare(const Command& command) {
    prompts_.clear();
    const std::vector<BlockId> blocks = BlockTable(command.shape, /*at_source=*/true);
    for (int i = 0; i < command.num_parts; ++i) {
      const auto part = Part(blocks, i, command.num_parts);
      const int num_tokens = static_cast<int>(part.size()) * kLayout.block_size;
      prompts_.push_back(table_.FindOrCreate(RequestId(command.first_id + i), 0));
      prompts_.back()->Begin(num_tokens, part, /*num_cached=*/num_tokens);
      prompts_.back()->SetFirstToken(1, /*finished=*/false);
    }
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PullKv(
      grpc::CallbackServerContext*) override {
    return KvSourceCall::Start({.cache = cache_,
                                .table = &table_,
                                .loop = loop_.get(),
                                .sender = &sender_,
                                .counters = &counters_,
                                .epoch = kEpoch,
                                .lease = absl::Seconds(10)})
        .get();
  }

 private:
  OutgoingKvTable table_;
  const KvCache* const cache_;
  IdleLoop loop_;
  KvCounters counters_;
  std::vector<std::shared_ptr<OutgoingKv>> prompts_;
  TaskThread sender_;
};

// The source's process: obeys until `control` is closed.
void RunSource(int control) {
  const std::unique_ptr<KvCache> cache = CreateCache();
  Fill(*cache);
  SourceService service(cache.get());
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  SetKvServerArguments(builder);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  CHECK(server != nullptr);
  Put(control, port);

  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(listen(listener, 1) == 0);
  CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Put(control, address.sin_port);
  const int raw = accept(listener, nullptr, nullptr);

  std::vector<iovec> pieces;
  for (Command command; Take(control, command);) {
    const std::vector<BlockId> table = BlockTable(command.shape, /*at_source=*/true);
    uint64_t reply = 0;
    switch (command.kind) {
      case Command::kChecksum:
        reply = Checksum(*cache, table);
        break;
      case Command::kPreparePull:
        service.Prepare(command);
        break;
      case Command::kPrepareSend:
        pieces = Pieces(*cache, table, kSendBytes);
        break;
      case Command::kSend:
        MoveAll([raw](iovec* first, int count) { return writev(raw, first, count); },
                std::move(pieces), kSendBytes);
        continue;
    }
    Put(control, reply);
  }
  server->Shutdown(std::chrono::system_clock::now());
}

// One pull of one part; its blocks are reserved from the start.
class PartPull : public KvPullListener {
 public:
  explicit PartPull(KvReceipt::Reservation reservation) : reservation_(std::move(reservation)) {}

  void SetPuller(std::shared_ptr<KvPuller> puller) {
    absl::MutexLock lock(&mutex_);
    puller_ = std::move(puller);
  }
  void AwaitComplete() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&complete_));
  }
  void AwaitEnded() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&ended_));
    puller_ = nullptr;
  }

  void OnBegun() override {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](std::shared_ptr<KvPuller>* puller) { return *puller != nullptr; }, &puller_));
    puller_->Ready(reservation_);
  }
  void OnComplete(TokenId, int64_t) override {
    absl::MutexLock lock(&mutex_);
    complete_ = true;
  }
  void OnNothingToDo() override { LOG(FATAL) << "nothing to pull"; }
  void OnFailed(const absl::Status& status) override { LOG(FATAL) << status; }
  void OnEnded() override {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }

 private:
  const KvReceipt::Reservation reservation_;
  absl::Mutex mutex_;
  std::shared_ptr<KvPuller> puller_ ABSL_GUARDED_BY(mutex_);
  bool complete_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// The puller's process.
class Puller {
 public:
  Puller(int control, int max_channels) : control_(control), cache_(CreateCache()) {
    int port;
    CHECK(Take(control, port));
    for (int i = 0; i < max_channels; ++i) {
      channels_.push_back(CreateKvChannel(absl::StrCat("127.0.0.1:", port)));
    }
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CHECK(Take(control, address.sin_port));
    raw_ = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(raw_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }

  ~Puller() { open_pulls_.EndAll(); }

  // Seconds that the socket loop takes with receives of `receive_bytes`.
  double Receive(Shape shape, size_t receive_bytes) {
    Ask({.kind = Command::kPrepareSend, .shape = shape});
    std::vector<iovec> pieces =
        Pieces(*cache_, BlockTable(shape, /*at_source=*/false), receive_bytes);
    const absl::Time begin = absl::Now();
    Put(control_, Command{.kind = Command::kSend});
    MoveAll([this](iovec* first, int count) { return readv(raw_, first, count); },
            std::move(pieces), receive_bytes);
    return absl::ToDoubleSeconds(absl::Now() - begin);
  }

  // Seconds from the first Pull to the last Complete.
  double Pull(Shape shape, int num_parts) {
    Ask({.kind = Command::kPreparePull,
         .shape = shape,
         .num_parts = num_parts,
         .first_id = next_id_});
    const std::vector<BlockId> blocks = BlockTable(shape, /*at_source=*/false);
    std::vector<std::shared_ptr<PartPull>> parts;
    for (int i = 0; i < num_parts; ++i) {
      const auto part = Part(blocks, i, num_parts);
      parts.push_back(std::make_shared<PartPull>(
          KvReceipt::Reservation{part, 0, static_cast<int>(part.size()) * kLayout.block_size}));
    }
    const absl::Time begin = absl::Now();
    for (int i = 0; i < num_parts; ++i) {
      parts[i]->SetPuller(KvPuller::Start({.id = RequestId(next_id_++),
                                           .source_epoch = kEpoch,
                                           .cache = cache_.get(),
                                           .receiver = &receiver_,
                                           .counters = &counters_,
                                           .open = &open_pulls_},
                                          channels_[i], parts[i]));
    }
    for (const auto& part : parts) part->AwaitComplete();
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    for (const auto& part : parts) part->AwaitEnded();
    CHECK(counters_.bad_frames == 0);
    return seconds;
  }

  void CheckSameBytes(Shape shape) {
    CHECK(Ask({.kind = Command::kChecksum, .shape = shape}) ==
          Checksum(*cache_, BlockTable(shape, /*at_source=*/false)));
  }

 private:
  uint64_t Ask(const Command& command) {
    Put(control_, command);
    uint64_t reply;
    CHECK(Take(control_, reply));
    return reply;
  }

  const int control_;
  int raw_;
  const std::unique_ptr<KvCache> cache_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  uint64_t next_id_ = 1;
  KvCounters counters_;
  OpenPulls open_pulls_;
  TaskThread receiver_;
};

struct Row {
  std::string name;
  Shape shape;
  bool raw;
  std::function<double()> run;  // seconds
  std::vector<double> rates;    // GB/s, of each repetition
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Report(const std::vector<Row>& rows) {
  double fastest_raw[2] = {0, 0};
  for (const Row& row : rows) {
    if (row.raw) fastest_raw[row.shape] = std::max(fastest_raw[row.shape], Median(row.rates));
  }
  std::cout << absl::StreamFormat("%-36s %-22s %s\n", "", "GB/s, median (min..max)",
                                  "of the fastest socket loop");
  for (const Row& row : rows) {
    const auto [min, max] = std::minmax_element(row.rates.begin(), row.rates.end());
    const double median = Median(row.rates);
    std::cout << absl::StreamFormat("%-36s %5.2f (%4.2f..%4.2f)      %3.0f%%\n", row.name, median,
                                    *min, *max, 100 * median / fastest_raw[row.shape]);
  }
}

void RunPuller(int control, int repetitions, const std::string& text) {
  const double gigabytes = 1e-9 * kNumBlocks * static_cast<double>(kLayout.BlockBytes());
  Puller puller(control, /*max_channels=*/4);
  std::vector<Row> rows;
  for (const Shape shape : {kContiguous, kScattered}) {
    const std::string blocks = shape == kContiguous ? "one run" : "10,000 scattered blocks";
    for (const size_t kib : {64, 256, 1024}) {
      rows.push_back({absl::StrCat(blocks, ": recv ", kib, " KiB"), shape, true,
                      [&puller, shape, kib] { return puller.Receive(shape, kib << 10); }});
    }
    for (const int n : {1, 2, 4}) {
      rows.push_back({absl::StrCat(blocks, ": pull, channels: ", n), shape, false,
                      [&puller, shape, n] { return puller.Pull(shape, n); }});
    }
  }
  rows.erase(
      std::remove_if(rows.begin(), rows.end(),
                     [&text](const Row& row) { return row.name.find(text) == std::string::npos; }),
      rows.end());
  for (Row& row : rows) {  // warms up
    row.run();
    puller.CheckSameBytes(row.shape);
  }
  for (int i = 0; i < repetitions; ++i) {
    for (Row& row : rows) row.rates.push_back(gigabytes / row.run());
  }
  Report(rows);
}

int Main(int argc, char** argv) {
  const int repetitions = argc > 1 ? std::atoi(argv[1]) : 7;
  KeepFreedFrames();
  int control[2];
  CHECK(repetitions > 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, control) == 0);
  const pid_t child = fork();  // before either has threads
  if (child == 0) {
    close(control[0]);
    RunSource(control[1]);
    return 0;
  }
  close(control[1]);
  RunPuller(control[0], repetitions, argc > 2 ? argv[2] : "");
  close(control[0]);
  int status;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) { return tandem::Main(argc, argv); }
