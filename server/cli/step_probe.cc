#include "server/cli/step_probe.h"

#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "engine/core/status_macros.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<StepProbe>> StepProbe::Create(const RunnerOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, ModelRunner::Create(options));
  return std::unique_ptr<StepProbe>(new StepProbe(std::move(runner)));
}

StepProbe::StepProbe(std::unique_ptr<ModelRunner> runner) : runner_(std::move(runner)) {
  sampling_.temperature = 0;
  const auto vocab_size = static_cast<uint32_t>(runner_->config().vocab_size);
  std::mt19937 random(1);
  for (int i = 0; i < runner_->max_model_len(); ++i) {
    tokens_.push_back(static_cast<TokenId>(random() % vocab_size));
  }
  KvCache& kv = runner_->kv_cache();
  blocks_.resize(kv.num_blocks());
  std::iota(blocks_.begin(), blocks_.end(), 0);
  for (int layer = 0; layer < runner_->config().num_layers; ++layer) {
    for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
      for (absl::Span<uint8_t> run :
           kv.Write(layer, component, blocks_, 0, kv.num_blocks() * kv.layout().block_size)) {
        std::memset(run.data(), 0, run.size());  // so that its pages are there
      }
    }
  }
}

bool StepProbe::Fits(const StepPoint& point) const {
  const KvCache& kv = runner_->kv_cache();
  return point.NumTokens() <= runner_->max_num_batched_tokens() &&
         point.MaxLength() <= runner_->max_model_len() &&
         point.NumBlocks(kv.layout().block_size) <= kv.num_blocks();
}

void StepProbe::AddRow(int begin, int num_tokens, bool is_prompt) {
  const int end = begin + num_tokens;
  const int num_blocks = runner_->kv_cache().layout().NumBlocks(end);
  batch_.rows.push_back(
      {.request = RequestId(batch_.rows.size()),
       .tokens = absl::MakeConstSpan(tokens_).first(end),
       .num_prompt_tokens = is_prompt ? end : 1,
       .begin = begin,
       .num_tokens = num_tokens,
       .block_table = absl::MakeConstSpan(blocks_).subspan(next_block_, num_blocks),
       .sample = true,
       .sampling = &sampling_});
  next_block_ += num_blocks;
}

absl::StatusOr<absl::Duration> StepProbe::Time(const StepPoint& point) {
  ++batch_.step;
  batch_.rows.clear();
  next_block_ = 0;
  for (int i = 0; i < point.num_rows; ++i) AddRow(point.context - 1, 1, /*is_prompt=*/false);
  if (point.chunk_tokens > 0) AddRow(point.chunk_begin, point.chunk_tokens, /*is_prompt=*/true);
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(const StepOutput output, runner_->Run(batch_));
  const absl::Duration time = absl::Now() - start;
  for (const RowOutput& row : output.rows) RETURN_IF_ERROR(row.status);
  return time;
}

}  // namespace tandem
