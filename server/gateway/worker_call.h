// One Prefill or Decode call, seen from the strand of the request it belongs to.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "proto/worker.grpc.pb.h"
#include "server/gateway/cluster_clients.h"
#include "server/gateway/executor.h"

namespace tandem {

// gRPC's own threads only post; everything else happens on the strand. Events are read one at a
// time: until Next() is called the following one stays with the worker, so a reader that pauses
// pushes back on that worker's call alone. Lives until on_done has run.
class WorkerCall {
 public:
  struct Callbacks {
    absl::AnyInvocable<void(v1::TokenEvent)> on_event;
    absl::AnyInvocable<void(absl::Status)> on_done;  // once, last
  };

  // To the worker at `address`.
  static std::shared_ptr<WorkerCall> StartPrefill(WorkerStubs& workers, const std::string& address,
                                                  v1::PrefillRequest request,
                                                  std::shared_ptr<Strand> strand,
                                                  Callbacks callbacks);
  static std::shared_ptr<WorkerCall> StartDecode(WorkerStubs& workers, const std::string& address,
                                                 v1::DecodeRequest request,
                                                 std::shared_ptr<Strand> strand,
                                                 Callbacks callbacks);
  virtual ~WorkerCall() = default;

  // Asks for the next event; the first one is asked for by Start. Strand only, as is Cancel.
  virtual void Next() = 0;
  // Ends the call at the worker too. on_event does not run afterwards, on_done does.
  virtual void Cancel() = 0;
};

}  // namespace tandem
