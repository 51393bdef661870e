#include "engine/runner/other_ranks.h"

#include <utility>

#include "engine/core/status_macros.h"
#include "engine/runner/step_message.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<OtherRanks>> OtherRanks::Start(const InstanceShape& shape,
                                                              const StartRank& start) {
  ASSIGN_OR_RETURN(std::unique_ptr<InstanceMemory> memory, InstanceMemory::Create(shape));
  std::unique_ptr<OtherRanks> ranks(new OtherRanks(std::move(memory)));
  ASSIGN_OR_RETURN(ranks->processes_,
                   RankProcesses::Start(shape.ranks.NumRanks(), ranks->memory_->fd(), start));
  return ranks;
}

OtherRanks::OtherRanks(std::unique_ptr<InstanceMemory> memory)
    : memory_(std::move(memory)),
      waiter_([this] { return processes_->Check(); }),
      num_told_(memory_->shape().ranks.pp, 0) {
  const ParallelShape& shape = memory_->shape().ranks;
  const int last_stage = (shape.pp - 1) * shape.tp;  // its first rank
  for (int rank = 1; rank < shape.NumRanks(); ++rank) {
    steps_.push_back(memory_->Steps(rank, waiter_));
    if (rank >= last_stage) logits_.push_back(memory_->Logits(rank, waiter_));
  }
}

absl::StatusOr<std::unique_ptr<KvCache>> OtherRanks::JoinKv(
    const KvLayout& layout, absl::Span<const RankSlice> slices) const {
  const InstanceShape& shape = memory_->shape();
  std::vector<KvShard> shards;
  for (size_t rank = 0; rank < slices.size(); ++rank) {
    KvShard& shard = shards.emplace_back();
    shard.layer_begin = slices[rank].layer_begin;
    shard.heads = slices[rank].kv_heads;
    ASSIGN_OR_RETURN(shard.kv, KvCache::CreateIn(memory_->Kv(static_cast<int>(rank)), shape.rank_kv,
                                                 shape.num_blocks));
  }
  return KvCache::Join(layout, shape.num_blocks, std::move(shards));
}

absl::Status OtherRanks::AwaitReady() {
  return waiter_.Await(memory_->NumReady(), memory_->shape().ranks.NumRanks() - 1);
}

absl::Status OtherRanks::Send(const StepInput& input) {
  EncodeStep(input, message_);
  for (const auto& channel : steps_) RETURN_IF_ERROR(channel->Send(message_));
  return absl::OkStatus();
}

void OtherRanks::ReportLayers(LayerDone layer_done) {
  const int num_layers = LayersPerStage();
  for (size_t stage = 1; stage < num_told_.size(); ++stage) {
    uint64_t& told = num_told_[stage];
    const SharedCounter& done = memory_->LayersDone(static_cast<int>(stage));
    for (; done.HasReached(static_cast<uint32_t>(told + 1)); ++told) {
      const uint64_t layer = stage * num_layers + told % num_layers;
      layer_done(told / num_layers, static_cast<int>(layer));
    }
  }
}

absl::Status OtherRanks::AwaitLayers(uint64_t step, LayerDone layer_done) {
  const uint64_t target = (step + 1) * LayersPerStage();
  for (size_t stage = 1; stage < num_told_.size(); ++stage) {
    while (num_told_[stage] < target) {
      RETURN_IF_ERROR(waiter_.Await(memory_->LayersDone(static_cast<int>(stage)),
                                    static_cast<uint32_t>(num_told_[stage] + 1)));
      ReportLayers(layer_done);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const float>> OtherRanks::NextLogits(absl::Span<const float> own) {
  row_.assign(own.begin(), own.end());
  for (const auto& channel : logits_) {
    ASSIGN_OR_RETURN(const absl::Span<const uint8_t> message, channel->Receive());
    const auto* const part = reinterpret_cast<const float*>(message.data());
    row_.insert(row_.end(), part, part + message.size() / sizeof(float));
    channel->Release();
  }
  return absl::MakeConstSpan(row_);
}

}  // namespace tandem
