#include "engine/runner/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// Scores one window, in as many steps as the runner's token budget asks for.
absl::Status ScoreWindow(ModelRunner& runner, absl::Span<const TokenId> tokens,
                         absl::Span<const BlockId> block_table, Perplexity& total) {
  SamplingParams sampling;
  sampling.num_prompt_logprobs = 0;
  const int window = static_cast<int>(tokens.size());
  BatchRow row;
  row.request = RequestId(1);
  row.tokens = tokens;
  row.num_prompt_tokens = window;
  row.block_table = block_table;
  row.sampling = &sampling;
  for (int begin = 0; begin < window; begin += row.num_tokens) {
    row.begin = begin;
    row.num_tokens = std::min(window - begin, runner.max_num_batched_tokens());
    Batch batch;
    batch.rows.push_back(row);
    ASSIGN_OR_RETURN(const StepOutput output, runner.Run(batch));
    RETURN_IF_ERROR(output.rows[0].status);
    for (const PromptLogprob& scored : output.rows[0].prompt_logprobs) {
      const double nll = -static_cast<double>(scored.token.logprob);
      ++total.num_tokens;
      total.total_nll += nll;
      if (scored.position <= window / 2) continue;
      ++total.num_late_tokens;
      total.late_nll += nll;
    }
  }
  return absl::OkStatus();
}

}  // namespace

double Perplexity::Value() const { return std::exp(total_nll / static_cast<double>(num_tokens)); }

double Perplexity::LateValue() const {
  return std::exp(late_nll / static_cast<double>(num_late_tokens));
}

absl::StatusOr<Perplexity> MeasurePerplexity(
    ModelRunner& runner, absl::Span<const TokenId> tokens, int window,
    absl::FunctionRef<void(int num_done, int num_windows)> progress) {
  if (tokens.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a text of ", tokens.size(), " tokens has nothing to score"));
  }
  if (window < 2 || window > runner.max_model_len()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a window of ", window, " tokens is not between 2 and ", runner.max_model_len()));
  }
  const auto num_tokens = static_cast<int64_t>(tokens.size());
  const int64_t length = std::min<int64_t>(window, num_tokens);
  const int64_t block_size = runner.kv_cache().layout().block_size;
  std::vector<BlockId> block_table((length + block_size - 1) / block_size);
  std::iota(block_table.begin(), block_table.end(), 0);
  const int num_windows = static_cast<int>(num_tokens / length);
  Perplexity total;
  for (int i = 0; i < num_windows; ++i) {
    RETURN_IF_ERROR(ScoreWindow(runner, tokens.subspan(i * length, length), block_table, total));
    progress(i + 1, num_windows);
  }
  return total;
}

}  // namespace tandem
