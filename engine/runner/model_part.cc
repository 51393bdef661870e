#include "engine/runner/model_part.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/comm/shared_memory_communicator.h"
#include "engine/core/status_macros.h"
#include "engine/weights/rank_slice.h"

namespace tandem {

absl::StatusOr<ModelPart> MakeWholeModel(std::unique_ptr<Model> model, const PartOptions& options,
                                         const KvLayout& kv, int num_blocks,
                                         const TransformerLimits& limits) {
  ModelPart part;
  part.model = std::move(model);
  ASSIGN_OR_RETURN(part.ops, Ops::Create(options.ops));
  RETURN_IF_ERROR(PackModel(*part.ops, *part.model, options.pack));
  ASSIGN_OR_RETURN(part.kv, KvCache::Create(kv, num_blocks));
  ASSIGN_OR_RETURN(part.transformer, Transformer::Create(*part.model, limits, *part.ops, *part.kv));
  return part;
}

absl::StatusOr<ModelPart> MakeModelPart(std::unique_ptr<Model> model, const PartOptions& options,
                                        const InstanceMemory& instance, int rank,
                                        const PeerWaiter& waiter) {
  const InstanceShape& shape = instance.shape();
  const auto [tp, pp] = shape.ranks;
  const int stage = rank / tp;
  ASSIGN_OR_RETURN(const RankSlice slice, MakeRankSlice(*model, shape.ranks, rank));
  ModelPart part;
  part.model = std::move(model);
  SliceModel(slice, *part.model);
  ASSIGN_OR_RETURN(part.ops, Ops::Create(options.ops));
  PackOptions pack = options.pack;
  pack.part = absl::StrCat("rank ", rank, " of tp ", tp, " pp ", pp);
  RETURN_IF_ERROR(PackModel(*part.ops, *part.model, pack));
  ASSIGN_OR_RETURN(part.kv, KvCache::CreateIn(instance.Kv(rank), shape.rank_kv, shape.num_blocks));
  if (tp > 1) {
    part.stage =
        std::make_unique<SharedMemoryCommunicator>(instance.Sums(stage), rank % tp, tp, waiter);
  }
  if (stage > 0) part.upstream = instance.Activations(rank, waiter);
  if (stage + 1 < pp) part.downstream = instance.Activations(rank + tp, waiter);
  const RankLinks links = {.stage = part.stage.get(),
                           .upstream = part.upstream.get(),
                           .downstream = part.downstream.get(),
                           .layer_begin = slice.layer_begin,
                           .layer_end = slice.layer_end};
  const TransformerLimits limits = {.max_position = shape.max_model_len,
                                    .max_rows = shape.max_rows};
  ASSIGN_OR_RETURN(part.transformer,
                   Transformer::Create(*part.model, limits, *part.ops, *part.kv, links));
  return part;
}

}  // namespace tandem
