#include "scheduler/speed_model.h"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

// What a new report counts for in the average. Reports come ten times a second from each instance.
constexpr double kLearningRate = 0.1;

// Tokens of one step's chunk where nothing decodes, by default (--max-num-batched-tokens).
constexpr int kChunkTokens = 512;

double NumChunks(const InstanceLoad& load, double tokens) {
  return std::ceil(tokens / (load.num_rows > 0 ? load.chunk_tokens : kChunkTokens));
}

void MoveTo(double target, double rate, double* value) { *value += rate * (target - *value); }

void Average(const LatencyCoefficients::Decode& reported, double rate,
             LatencyCoefficients::Decode* average) {
  MoveTo(reported.base_ms, rate, &average->base_ms);
  MoveTo(reported.context_ms, rate, &average->context_ms);
  MoveTo(reported.row_ms, rate, &average->row_ms);
}

double RowsMs(const LatencyCoefficients::Decode& decode, int num_rows, int64_t context) {
  return num_rows * decode.row_ms + static_cast<double>(context) * decode.context_ms;
}

}  // namespace

void SpeedModel::Learn(const StepLatency& reported) {
  const LatencyCoefficients& from = reported.coefficients;
  if (reported.knows_prefill) {
    const double rate = knows_prefill_ ? kLearningRate : 1;
    knows_prefill_ = true;
    MoveTo(from.prefill.base_ms, rate, &coefficients_.prefill.base_ms);
    MoveTo(from.prefill.token_ms, rate, &coefficients_.prefill.token_ms);
    MoveTo(from.prefill.square_ms, rate, &coefficients_.prefill.square_ms);
  }
  if (reported.knows_decode) {
    const double rate = knows_decode_ ? kLearningRate : 1;
    knows_decode_ = true;
    Average(from.decode, rate, &coefficients_.decode);
    Average(from.large_decode, rate, &coefficients_.large_decode);
    coefficients_.large_decode_rows = from.large_decode_rows;
  }
}

double SpeedModel::PromptMs(double tokens, double squares) const {
  return tokens * coefficients_.prefill.token_ms + squares * coefficients_.prefill.square_ms;
}

double SpeedModel::StepsMs(const InstanceLoad& load, double num_steps) const {
  const double prefill_base = coefficients_.prefill.base_ms;
  if (load.num_rows == 0) return num_steps * prefill_base;
  // The weights are read once: a step of both phases has the larger one of their bases.
  const LatencyCoefficients::Decode& decode = coefficients_.DecodeOf(load.chunk_tokens);
  return num_steps * (RowsMs(decode, load.num_rows, load.num_context_tokens) +
                      std::max(prefill_base, decode.base_ms));
}

double SpeedModel::WaitMs(const InstanceLoad& load) const {
  if (load.num_queued_tokens <= 0) return 0;
  const auto tokens = static_cast<double>(load.num_queued_tokens);
  const double num_steps =
      std::max(NumChunks(load, tokens), static_cast<double>(load.num_queued_prompts));
  return (PromptMs(tokens, load.queued_squares) + StepsMs(load, num_steps)) / load.depth;
}

double SpeedModel::PrefillMs(const InstanceLoad& load, const PromptWork& prompt) const {
  const double tokens = prompt.num_tokens - prompt.num_cached;
  const double squares = tokens * (double{1} * prompt.num_tokens + prompt.num_cached);
  const double num_steps = std::max(1.0, NumChunks(load, tokens));
  return PromptMs(tokens, squares) + StepsMs(load, num_steps);
}

double SpeedModel::StepMs(const InstanceLoad& load, int num_tokens) const {
  const int num_rows = load.num_rows + 1;
  const LatencyCoefficients::Decode& decode = coefficients_.DecodeOf(num_rows);
  return decode.base_ms + RowsMs(decode, num_rows, load.num_context_tokens + num_tokens);
}

double ExposedTransferMs(const KvLayout& layout, int num_tokens, double bytes_per_second,
                         double prefill_ms) {
  const double bytes = 2.0 * layout.num_layers * static_cast<double>(layout.TokenBytes());
  const double transfer_ms = num_tokens * bytes / bytes_per_second * 1000;
  const double layers = std::max(1, layout.num_layers);
  return std::max(transfer_ms / layers, transfer_ms - prefill_ms * (layers - 1) / layers);
}

}  // namespace tandem
