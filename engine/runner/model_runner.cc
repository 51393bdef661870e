#include "engine/runner/model_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/runner/kv_pool_plan.h"
#include "engine/runner/logprobs.h"

namespace tandem {
namespace {

// Steps above this would need buffers of gigabytes; the token budgets of schedulers end far below.
constexpr int kMaxNumBatchedTokens = 65536;

absl::Status CheckOptions(const RunnerOptions& options) {
  const auto refuse = [](absl::string_view field, absl::string_view rule, int64_t value) {
    return absl::InvalidArgumentError(absl::StrCat(field, " must be ", rule, ", got ", value));
  };
  if (options.block_size < 1) return refuse("block_size", "at least 1", options.block_size);
  if (options.kv_cache_bytes < 0) {
    return refuse("kv_cache_bytes", "at least 0", options.kv_cache_bytes);
  }
  if (options.max_model_len < 0) {
    return refuse("max_model_len", "at least 0", options.max_model_len);
  }
  if (options.max_num_batched_tokens < 1 || options.max_num_batched_tokens > kMaxNumBatchedTokens) {
    return refuse("max_num_batched_tokens", absl::StrCat("between 1 and ", kMaxNumBatchedTokens),
                  options.max_num_batched_tokens);
  }
  if (!IsKvDType(options.kv_dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_cache_dtype cannot be ", GetDTypeInfo(options.kv_dtype).name));
  }
  return absl::OkStatus();
}

// Puts what the logits say into the row's output: its next token, or how likely the prompt was.
absl::Status UseLogits(const BatchRow& row, const LogitUse& use, absl::Span<const float> logits,
                       Sampler& sampler, RowOutput& output) {
  if (use.sample) {
    ASSIGN_OR_RETURN(SampledToken sampled,
                     sampler.Sample(logits, row.tokens, row.num_prompt_tokens, *row.sampling));
    output.tokens.push_back(std::move(sampled));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckFinite(logits));
  const int position = use.position + 1;
  output.prompt_logprobs.push_back(
      {position, ScoreToken(logits, row.tokens[position], row.sampling->num_prompt_logprobs)});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRunner>> ModelRunner::Create(const RunnerOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<ModelRunner> runner(new ModelRunner(options));
  RETURN_IF_ERROR(runner->Load(options));
  return runner;
}

ModelRunner::ModelRunner(const RunnerOptions& options)
    : max_num_batched_tokens_(options.max_num_batched_tokens), depth_(options.ranks.pp) {}

absl::Status ModelRunner::Load(const RunnerOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, LoadModel(options.model_path));
  config_ = model->config;
  ASSIGN_OR_RETURN(const RankSlice slice, MakeRankSlice(*model, options.ranks, 0));
  const KvLayout layout = MakeKvLayout(config_, options.kv_dtype, options.block_size);
  KvLayout stored = layout;  // where ranks hold copies of a head, each takes memory
  stored.num_kv_heads = options.ranks.tp * static_cast<int>(slice.kv_heads.size());
  KvPoolRequest request;
  request.kv_cache_bytes = options.kv_cache_bytes;
  request.max_model_len = options.max_model_len;
  request.context_len = config_.max_position;
  request.swap_bytes = options.swap_bytes;
  request.memory_bytes = MachineMemoryBytes();
  ASSIGN_OR_RETURN(const KvPoolPlan plan, PlanKvPool(stored, request));
  limits_.vocab_size = config_.vocab_size;
  limits_.max_model_len = plan.max_model_len;
  limits_.num_blocks = plan.num_blocks;
  limits_.block_size = options.block_size;
  RETURN_IF_ERROR(options.ranks.NumRanks() > 1 ? LoadRanks(options, std::move(model), layout)
                                               : LoadWhole(options, std::move(model), layout));
  if (plan.num_host_blocks == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(host_kv_, HostKvPool::Create(&kv_cache(), plan.num_host_blocks));
  return absl::OkStatus();
}

absl::Status ModelRunner::LoadWhole(const RunnerOptions& options, std::unique_ptr<Model> model,
                                    const KvLayout& layout) {
  TransformerLimits limits;
  limits.max_position = limits_.max_model_len;
  limits.max_rows = max_num_batched_tokens_;
  ASSIGN_OR_RETURN(part_, MakeWholeModel(std::move(model), {options.ops, options.pack}, layout,
                                         limits_.num_blocks, limits));
  return absl::OkStatus();
}

absl::Status ModelRunner::LoadRanks(const RunnerOptions& options, std::unique_ptr<Model> model,
                                    const KvLayout& layout) {
  std::vector<RankSlice> slices;
  InstanceShape shape;
  for (int rank = 0; rank < options.ranks.NumRanks(); ++rank) {
    ASSIGN_OR_RETURN(slices.emplace_back(), MakeRankSlice(*model, options.ranks, rank));
    const int64_t num_logits = slices.back().vocab_end - slices.back().vocab_begin;
    shape.max_logits = std::max(shape.max_logits, static_cast<int>(num_logits));
  }
  shape.ranks = options.ranks;
  shape.rank_kv = layout;
  shape.rank_kv.num_layers = layout.num_layers / options.ranks.pp;
  shape.rank_kv.num_kv_heads = static_cast<int>(slices[0].kv_heads.size());
  shape.num_blocks = limits_.num_blocks;
  shape.max_model_len = limits_.max_model_len;
  shape.max_rows = max_num_batched_tokens_;
  shape.hidden_size = config_.hidden_size;
  ASSIGN_OR_RETURN(others_, OtherRanks::Start(shape, options.start_rank));
  ASSIGN_OR_RETURN(joined_kv_, others_->JoinKv(layout, slices));
  ASSIGN_OR_RETURN(part_,
                   MakeModelPart(std::move(model), {options.ops, options.pack}, others_->memory(),
                                 /*rank=*/0, others_->waiter()));
  return others_->AwaitReady();
}

absl::Status ModelRunner::Submit(const Batch& batch) {
  CHECK(num_in_flight() < depth_) << num_in_flight() << " steps are in flight";
  int64_t num_tokens = 0;
  for (const BatchRow& row : batch.rows) num_tokens += std::max(row.num_tokens, 0);
  if (num_tokens > max_num_batched_tokens_) {
    return absl::InvalidArgumentError(absl::StrCat("step ", batch.step, " has ", num_tokens,
                                                   " tokens, above max_num_batched_tokens ",
                                                   max_num_batched_tokens_));
  }
  StepInFlight& flight = in_flight_.emplace_back();
  flight.batch = batch;
  flight.output.rows.resize(batch.rows.size());
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    flight.output.rows[i].request = batch.rows[i].request;
    flight.output.rows[i].status = CheckRow(batch.rows[i], limits_);
    if (flight.output.rows[i].status.ok()) {
      AppendRow(batch.rows[i], static_cast<int>(i), limits_, flight.step);
    }
  }
  if (flight.step.input.NumRows() == 0) return absl::OkStatus();
  absl::Status status = Compute(flight);
  if (!status.ok()) in_flight_.pop_back();
  return status;
}

// This rank's part. Between its layers it passes on how far the other stages are.
absl::Status ModelRunner::Compute(StepInFlight& flight) {
  if (others_ != nullptr) {
    RETURN_IF_ERROR(others_->Check());
    sent_.push_back(flight.batch.step);
    RETURN_IF_ERROR(others_->Send(flight.step.input));
  }
  absl::Status taken;
  RETURN_IF_ERROR(part_.transformer->Forward(
      flight.step.input,
      [&](int layer) {
        if (layer_done_) layer_done_(flight.batch.step, layer);
        if (others_ != nullptr) {
          others_->ReportLayers([this](uint64_t sent, int l) { ReportLayer(sent, l); });
        }
      },
      [&](int index, absl::Span<const float> logits) {
        if (others_ == nullptr) return TakeLogits(flight, index, logits);
        if (!taken.ok()) return;
        const absl::StatusOr<absl::Span<const float>> whole = others_->NextLogits(logits);
        taken = whole.status();
        if (taken.ok()) TakeLogits(flight, index, *whole);
      }));
  return taken;
}

absl::StatusOr<StepOutput> ModelRunner::Wait() {
  CHECK(num_in_flight() > 0) << "no step is in flight";
  StepInFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  const bool is_shared = others_ != nullptr && flight.step.input.NumRows() > 0;
  if (is_shared) RETURN_IF_ERROR(Collect(flight));
  return std::move(flight.output);
}

// What the later stages have to say of the step.
absl::Status ModelRunner::Collect(StepInFlight& flight) {
  RETURN_IF_ERROR(others_->AwaitLayers(
      num_collected_, [this](uint64_t sent, int layer) { ReportLayer(sent, layer); }));
  sent_.pop_front();
  ++num_collected_;
  if (depth_ == 1) return absl::OkStatus();  // this rank has been in the last stage
  const int num_rows = static_cast<int>(flight.step.logit_uses.size());
  for (int index = 0; index < num_rows; ++index) {
    ASSIGN_OR_RETURN(const absl::Span<const float> logits, others_->NextLogits({}));
    TakeLogits(flight, index, logits);
  }
  return absl::OkStatus();
}

void ModelRunner::ReportLayer(uint64_t sent, int layer) {
  if (layer_done_) layer_done_(sent_[sent - num_collected_], layer);
}

absl::StatusOr<StepOutput> ModelRunner::Run(const Batch& batch) {
  CHECK(num_in_flight() == 0) << num_in_flight() << " steps are in flight";
  RETURN_IF_ERROR(Submit(batch));
  return Wait();
}

absl::Status ModelRunner::CheckRanks() const {
  return others_ == nullptr ? absl::OkStatus() : others_->Check();
}

void ModelRunner::TakeLogits(StepInFlight& flight, int index, absl::Span<const float> logits) {
  const LogitUse& use = flight.step.logit_uses[index];
  const BatchRow& row = flight.batch.rows[use.row];
  RowOutput& result = flight.output.rows[use.row];
  if (!result.status.ok()) return;
  result.status =
      Annotate(UseLogits(row, use, logits, sampler_, result),
               absl::StrCat("request_id=", row.request.value(), " position=", use.position));
}

}  // namespace tandem
