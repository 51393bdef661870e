#include "server/cli/engine_bench.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int kWarmUpSteps = 3;

// A decoded sequence ends with a token that is sampled and not stored any more.
int MaxLength(const EngineLoad& load) { return load.context + load.num_tokens; }

int64_t BlocksOf(const EngineLoad& load, const KvLayout& layout) {
  return int64_t{load.num_sequences} * layout.NumBlocks(MaxLength(load));
}

absl::Status CheckLoad(const EngineLoad& load, const ModelConfig& config,
                       int max_num_batched_tokens) {
  const auto refuse = [&](absl::string_view reason, int limit) {
    return absl::InvalidArgumentError(absl::StrCat(load.Name(), " ", reason, " ", limit));
  };
  if (MaxLength(load) > config.max_position) {
    return refuse("is longer than the model's context of", config.max_position);
  }
  if (load.num_sequences > max_num_batched_tokens) {
    return refuse("does not fit one step: --max-num-batched-tokens is", max_num_batched_tokens);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<EngineBench>> EngineBench::Create(
    RunnerOptions options, const std::vector<EngineLoad>& loads) {
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.model_path));
  const KvLayout layout = MakeKvLayout(config, options.kv_dtype, options.block_size);
  int64_t num_blocks = 1;
  for (const EngineLoad& load : loads) {
    RETURN_IF_ERROR(CheckLoad(load, config, options.max_num_batched_tokens));
    num_blocks = std::max(num_blocks, BlocksOf(load, layout));
  }
  options.kv_cache_bytes = num_blocks * layout.BlockBytes();
  ASSIGN_OR_RETURN(std::unique_ptr<ModelRunner> runner, ModelRunner::Create(options));
  return std::unique_ptr<EngineBench>(new EngineBench(std::move(runner)));
}

EngineBench::EngineBench(std::unique_ptr<ModelRunner> runner) : runner_(std::move(runner)) {
  sampling_.temperature = 0;
}

LoadWork EngineBench::Work(const EngineLoad& load) const {
  return CountWork(load, runner_->config(), runner_->weight_counts(), runner_->kv_cache().layout(),
                   runner_->max_num_batched_tokens());
}

void EngineBench::MakeSequences(const EngineLoad& load) {
  const bool is_prefill = load.phase == EngineLoad::Phase::kPrefill;
  // A decoded sequence begins with one more token, whose K and V its first step stores.
  const int length = is_prefill ? load.num_tokens : load.context + 1;
  const int blocks = runner_->kv_cache().layout().NumBlocks(MaxLength(load));
  const auto vocab_size = static_cast<uint32_t>(runner_->config().vocab_size);
  std::mt19937 random(length);
  sequences_.assign(load.num_sequences, {});
  for (int i = 0; i < load.num_sequences; ++i) {
    Sequence& sequence = sequences_[i];
    sequence.tokens.reserve(MaxLength(load) + 1);
    for (int k = 0; k < length; ++k) {
      sequence.tokens.push_back(static_cast<TokenId>(random() % vocab_size));
    }
    sequence.block_table.resize(blocks);
    std::iota(sequence.block_table.begin(), sequence.block_table.end(), i * blocks);
  }
}

void EngineBench::StoreZeros(const EngineLoad& load) {
  for (const Sequence& sequence : sequences_) {
    for (int layer = 0; layer < runner_->config().num_layers; ++layer) {
      for (const KvComponent component : {KvComponent::kKeys, KvComponent::kValues}) {
        for (absl::Span<uint8_t> run :
             runner_->kv_cache().Write(layer, component, sequence.block_table, 0, load.context)) {
          std::memset(run.data(), 0, run.size());
        }
      }
    }
  }
}

absl::Status EngineBench::WarmUp(const EngineLoad& load, bool computed_context) {
  MakeSequences(load);
  if (load.phase == EngineLoad::Phase::kPrefill) {
    return Prefill(sequences_[0], std::min(load.num_tokens, runner_->max_num_batched_tokens()));
  }
  if (!computed_context) StoreZeros(load);
  for (size_t i = 0; computed_context && i < sequences_.size(); ++i) {
    RETURN_IF_ERROR(Prefill(sequences_[i], load.context));
  }
  for (int i = 0; i < std::min(kWarmUpSteps, load.num_tokens); ++i) RETURN_IF_ERROR(DecodeStep());
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> EngineBench::Pass(const EngineLoad& load) {
  const absl::Time start = absl::Now();
  if (load.phase == EngineLoad::Phase::kPrefill) {
    RETURN_IF_ERROR(Prefill(sequences_[0], load.num_tokens));
    return absl::Now() - start;
  }
  for (Sequence& sequence : sequences_) sequence.tokens.resize(load.context + 1);
  for (int i = 0; i < load.num_tokens; ++i) RETURN_IF_ERROR(DecodeStep());
  return absl::Now() - start;
}

absl::Status EngineBench::Prefill(Sequence& sequence, int num_tokens) {
  batch_.rows.assign(1, {});
  BatchRow& row = batch_.rows[0];
  row.tokens = sequence.tokens;
  row.num_prompt_tokens = static_cast<int>(sequence.tokens.size());
  row.block_table = sequence.block_table;
  row.sampling = &sampling_;
  for (int begin = 0; begin < num_tokens; begin += row.num_tokens) {
    row.begin = begin;
    row.num_tokens = std::min(num_tokens - begin, runner_->max_num_batched_tokens());
    row.sample = begin + row.num_tokens == row.num_prompt_tokens;
    RETURN_IF_ERROR(Run());
  }
  return absl::OkStatus();
}

absl::Status EngineBench::DecodeStep() {
  batch_.rows.assign(sequences_.size(), {});
  for (size_t i = 0; i < sequences_.size(); ++i) {
    BatchRow& row = batch_.rows[i];
    row.request = RequestId(i);
    row.tokens = sequences_[i].tokens;
    row.begin = static_cast<int>(row.tokens.size()) - 1;
    row.num_tokens = 1;
    row.num_prompt_tokens = 1;
    row.block_table = sequences_[i].block_table;
    row.sample = true;
    row.sampling = &sampling_;
  }
  RETURN_IF_ERROR(Run());
  for (size_t i = 0; i < sequences_.size(); ++i) {
    sequences_[i].tokens.push_back(output_.rows[i].tokens[0].token);
  }
  return absl::OkStatus();
}

absl::Status EngineBench::Run() {
  ++batch_.step;
  ASSIGN_OR_RETURN(output_, runner_->Run(batch_));
  for (const RowOutput& row : output_.rows) RETURN_IF_ERROR(row.status);
  return absl::OkStatus();
}

}  // namespace tandem
