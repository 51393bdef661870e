#include "scheduler/latency_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {

void StepShape::AddChunk(int64_t begin, int64_t num_tokens) {
  prefill_tokens += num_tokens;
  prefill_squares += num_tokens * (2 * begin + num_tokens);
}

void StepShape::AddDecode(int64_t context) {
  ++decode_rows;
  decode_context += context;
}

StepShape ShapeOf(const Batch& batch) {
  StepShape shape;
  for (const BatchRow& row : batch.rows) {
    if (row.num_tokens == 1 && row.begin >= row.num_prompt_tokens) {
      shape.AddDecode(row.begin + 1);
    } else {
      shape.AddChunk(row.begin, row.num_tokens);
    }
  }
  return shape;
}

absl::StatusOr<LatencyModel> LatencyModel::Create(const LatencyCoefficients& coefficients) {
  constexpr double kMost = 1e6;  // a quarter of an hour
  const LatencyCoefficients& c = coefficients;
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, double>>{
           {"prefill base", c.prefill.base_ms},
           {"prefill token", c.prefill.token_ms},
           {"prefill square", c.prefill.square_ms},
           {"decode base", c.decode.base_ms},
           {"decode context", c.decode.context_ms},
           {"decode row", c.decode.row_ms},
           {"large decode base", c.large_decode.base_ms},
           {"large decode context", c.large_decode.context_ms},
           {"large decode row", c.large_decode.row_ms},
           {"large decode rows", static_cast<double>(c.large_decode_rows)}}) {
    if (!(value >= 0 && value <= kMost)) {
      return absl::InvalidArgumentError(
          absl::StrCat("latency model: ", name, " must be within 0 and ", kMost, ", got ", value));
    }
  }
  return LatencyModel(coefficients);
}

absl::Duration LatencyModel::StepTime(const StepShape& shape) const {
  double base = 0, slopes = 0;
  if (shape.prefill_tokens > 0) {
    const LatencyCoefficients::Prefill& prefill = coefficients_.prefill;
    base = prefill.base_ms;
    slopes += prefill.token_ms * static_cast<double>(shape.prefill_tokens) +
              prefill.square_ms * static_cast<double>(shape.prefill_squares);
  }
  if (shape.decode_rows > 0) {
    const LatencyCoefficients::Decode& decode = coefficients_.DecodeOf(shape.NumTokens());
    base = std::max(base, decode.base_ms);
    slopes += decode.context_ms * static_cast<double>(shape.decode_context) +
              decode.row_ms * static_cast<double>(shape.decode_rows);
  }
  return absl::Milliseconds(base + slopes);
}

absl::Duration LatencyModel::PrefillTime(int num_tokens, int num_cached) const {
  StepShape shape;
  shape.AddChunk(num_cached, num_tokens - num_cached);
  return StepTime(shape);
}

absl::Duration LatencyModel::DecodeTime(int64_t num_rows, int64_t context) const {
  return StepTime({.decode_rows = num_rows, .decode_context = context});
}

}  // namespace tandem
