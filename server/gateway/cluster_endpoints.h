// The cluster over HTTP: its instances, and changes of their roles.
#pragma once

#include "server/gateway/cluster_clients.h"
#include "server/gateway/cluster_watch.h"
#include "server/gateway/http_router.h"

namespace tandem {

// Thread-safe: every call runs on its exchange's strand. All references outlive it.
class ClusterEndpoints {
 public:
  ClusterEndpoints(const ClusterWatch& cluster, WorkerStubs& workers)
      : cluster_(cluster), workers_(workers) {}

  // GET /cluster, and POST /cluster/instances/NAME with {"role": ...}. This outlives `router`.
  void AddTo(HttpRouter& router);

 private:
  void Show(const HttpCall& call) const;
  absl::Status SetRole(const HttpCall& call) const;

  const ClusterWatch& cluster_;
  WorkerStubs& workers_;
};

}  // namespace tandem
