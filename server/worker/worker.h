// One worker process: a model, a KV pool and a scheduler behind a gRPC service, registered with the
// cluster.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"
#include "engine/runner/model_runner.h"

namespace tandem {

enum class Role { kPrefill, kDecode, kMixed };

struct WorkerOptions {
  InstanceId instance_id;
  Role role = Role::kMixed;
  std::string host = "127.0.0.1";
  int grpc_port = 0;              // 0: any free one
  std::string advertise_address;  // host[:port] for peers; empty: found out
  std::string scheduler_address;  // host:port
  RunnerOptions runner;
  int max_num_seqs = 64;
  int prefill_batch_tokens = 0;  // 0: SaturatingTokens
  int max_queued_requests = 1024;
  bool prefix_caching = true;
  absl::Duration kv_lease = absl::Seconds(10);
  absl::Duration health_timeout = absl::Seconds(20);
  std::string event_log;  // folder; empty: none
  // What it runs on, told to the cluster for profiles.
  std::string cpu;
  int64_t weight_bytes = 0;
};

// With how many prompt tokens in a step the device is busy, so that more of them come out later and
// no faster.
int SaturatingTokens(Isa isa);

// From how many tokens on steps take the kernels for many of them, whose times are others.
int ManyTokens(Isa isa);

// "AMD EPYC, 2 threads, avx2".
std::string DeviceName(absl::string_view cpu, int num_threads, Isa isa);

class Worker {
 public:
  // Loads the model (seconds), listens and begins to register. Errors as ModelRunner::Create
  // and EventLogFile::Create; UNAVAILABLE names an address in use.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(const WorkerOptions& options);
  virtual ~Worker() = default;

  virtual int port() const = 0;

  // UNAVAILABLE names a rank of the instance that has died: the process must end. Thread-safe.
  virtual absl::Status CheckRanks() const = 0;

  // Takes no new requests, lets running ones finish and leased KV be pulled. What will not finish
  // within `timeout` is offered to other workers as soon as that is foreseen, at the latest shortly
  // before; what none of them takes goes on until then and is cut, at once if a rank dies. Blocks.
  // Returns false when something was cut.
  virtual bool Drain(absl::Duration timeout) = 0;
};

}  // namespace tandem
