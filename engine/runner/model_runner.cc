#include "engine/runner/model_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/runner/kv_pool_plan.h"
#include "engine/runner/logprobs.h"
#include "engine/weights/pack_model.h"

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
  ASSIGN_OR_RETURN(std::unique_ptr<Model> model, LoadModel(options.model_path));
  const KvLayout layout = MakeKvLayout(model->config, options.kv_dtype, options.block_size);
  KvPoolRequest request;
  request.kv_cache_bytes = options.kv_cache_bytes;
  request.max_model_len = options.max_model_len;
  request.context_len = model->config.max_position;
  request.memory_bytes = MachineMemoryBytes();
  ASSIGN_OR_RETURN(const KvPoolPlan plan, PlanKvPool(layout, request));

  ASSIGN_OR_RETURN(std::unique_ptr<Ops> ops, Ops::Create(options.ops));
  RETURN_IF_ERROR(PackModel(*ops, *model));
  ASSIGN_OR_RETURN(std::unique_ptr<KvCache> kv, KvCache::Create(layout, plan.num_blocks));
  TransformerLimits transformer_limits;
  transformer_limits.max_position = plan.max_model_len;
  transformer_limits.max_rows = options.max_num_batched_tokens;
  ASSIGN_OR_RETURN(std::unique_ptr<Transformer> transformer,
                   Transformer::Create(*model, transformer_limits, *ops, *kv));
  StepLimits limits;
  limits.vocab_size = model->config.vocab_size;
  limits.max_model_len = plan.max_model_len;
  limits.num_blocks = plan.num_blocks;
  limits.block_size = options.block_size;
  return std::unique_ptr<ModelRunner>(new ModelRunner(std::move(model), std::move(ops),
                                                      std::move(kv), std::move(transformer), limits,
                                                      options.max_num_batched_tokens));
}

ModelRunner::ModelRunner(std::unique_ptr<Model> model, std::unique_ptr<Ops> ops,
                         std::unique_ptr<KvCache> kv, std::unique_ptr<Transformer> transformer,
                         const StepLimits& limits, int max_num_batched_tokens)
    : model_(std::move(model)),
      ops_(std::move(ops)),
      kv_cache_(std::move(kv)),
      transformer_(std::move(transformer)),
      limits_(limits),
      max_num_batched_tokens_(max_num_batched_tokens) {}

absl::StatusOr<StepOutput> ModelRunner::Run(const Batch& batch) {
  int64_t num_tokens = 0;
  for (const BatchRow& row : batch.rows) num_tokens += std::max(row.num_tokens, 0);
  if (num_tokens > max_num_batched_tokens_) {
    return absl::InvalidArgumentError(absl::StrCat("step ", batch.step, " has ", num_tokens,
                                                   " tokens, above max_num_batched_tokens ",
                                                   max_num_batched_tokens_));
  }
  Step step;
  StepOutput output;
  output.rows.resize(batch.rows.size());
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    output.rows[i].request = batch.rows[i].request;
    output.rows[i].status = CheckRow(batch.rows[i], limits_);
    if (output.rows[i].status.ok()) {
      AppendRow(batch.rows[i], static_cast<int>(i), limits_, step);
    }
  }
  if (step.input.NumRows() == 0) return output;

  transformer_->Forward(
      step.input,
      [&](int layer) {
        if (layer_done_) layer_done_(batch.step, layer);
      },
      [&](int index, absl::Span<const float> logits) {
        const LogitUse& use = step.logit_uses[index];
        const BatchRow& row = batch.rows[use.row];
        RowOutput& result = output.rows[use.row];
        if (!result.status.ok()) return;
        result.status =
            Annotate(UseLogits(row, use, logits, sampler_, result),
                     absl::StrCat("request_id=", row.request.value(), " position=", use.position));
      });
  return output;
}

}  // namespace tandem
