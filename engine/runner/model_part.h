// What one rank of an instance computes with: its part of the model, its KV pools, its links to the
// other ranks. An instance of one rank has the whole model and no links.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/comm/channel.h"
#include "engine/comm/communicator.h"
#include "engine/kernels/ops.h"
#include "engine/kv/kv_cache.h"
#include "engine/model/transformer.h"
#include "engine/runner/instance_memory.h"
#include "engine/weights/model_weights.h"
#include "engine/weights/pack_model.h"

namespace tandem {

struct ModelPart {
  std::unique_ptr<Model> model;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<KvCache> kv;
  std::unique_ptr<Communicator> stage;
  std::unique_ptr<Channel> upstream, downstream;
  std::unique_ptr<Transformer> transformer;
};

// What of RunnerOptions a part is made with.
struct PartOptions {
  const OpsOptions& ops;
  const PackOptions& pack;
};

// The whole of `model`. Errors as Ops::Create, PackModel, KvCache::Create and Transformer::Create.
absl::StatusOr<ModelPart> MakeWholeModel(std::unique_ptr<Model> model, const PartOptions& options,
                                         const KvLayout& kv, int num_blocks,
                                         const TransformerLimits& limits);

// The part of `rank`. `instance` and `waiter` outlive it. Errors also as MakeRankSlice.
absl::StatusOr<ModelPart> MakeModelPart(std::unique_ptr<Model> model, const PartOptions& options,
                                        const InstanceMemory& instance, int rank,
                                        const PeerWaiter& waiter);

}  // namespace tandem
