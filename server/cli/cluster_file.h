// The cluster that `tandem plan` places on: described by a file, by options, or this machine.
//
//   nodes:
//     - name: epyc            # shown in the plan
//       count: 2              # nodes that are alike
//       devices: 32           # of each: what a rank runs on
//       memory: 2GiB          # of each device
//       cores-per-device: 1   # a rank takes the devices that its threads need; left out: one
//   links:
//     within: 10GB            # bytes per second of each instance's link, for KV within a node
//     between: 3GB            # of each node's, for KV that leaves it
//     latency: 200us          # of a message
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "scheduler/planner/cluster_nodes.h"

namespace tandem {

// `text` of the file `name`. What it leaves out is as in `defaults`. INVALID_ARGUMENT names file,
// line and key.
absl::StatusOr<ClusterNodes> ParseClusterFile(const std::string& text, const std::string& name,
                                              const ClusterNodes& defaults);

// --cluster; or --nodes of --gpus-per-node devices; or of as many cores as this machine has for
// this process, with its memory. Links as --link-bandwidth and --network-delay say where the file
// does not. Errors as ParseClusterFile; NOT_FOUND: there is no such file.
absl::StatusOr<ClusterNodes> ReadCluster(const Config& config);

}  // namespace tandem
