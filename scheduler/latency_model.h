// How long a step takes: three numbers for prompts and three for decoding, as in DistServe (OSDI
// 2024, appendix A) and the code published with it. Fitted by LatencyFit, read by the Router and
// the simulator.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/core/batch.h"

namespace tandem {

// What the time of a step depends on.
struct StepShape {
  int64_t prefill_tokens = 0;
  // Sum of end^2 - begin^2 over the chunks: l^2 for a prompt of l tokens, however it is cut, and
  // twice the pairs of queries and keys.
  int64_t prefill_squares = 0;
  int64_t decode_rows = 0;
  int64_t decode_context = 0;  // keys that decode rows see, their own included

  // A chunk of `num_tokens` that follows `begin` stored ones.
  void AddChunk(int64_t begin, int64_t num_tokens);
  // The next token of a sequence that then has `context` of them.
  void AddDecode(int64_t context);
  int64_t NumTokens() const { return prefill_tokens + decode_rows; }

  bool operator==(const StepShape&) const = default;
};

// A row of one token behind its prompt decodes, every other row is a chunk.
StepShape ShapeOf(const Batch& batch);

// Milliseconds; none is negative.
struct LatencyCoefficients {
  struct Prefill {
    double base_ms = 0;
    double token_ms = 0;
    double square_ms = 0;  // times StepShape::prefill_squares
  };
  struct Decode {
    double base_ms = 0;
    double context_ms = 0;  // per key
    double row_ms = 0;
  };

  Prefill prefill;
  Decode decode;
  // Of rows in steps of at least large_decode_rows tokens, those of prompts included: all of them
  // go through the same products with the weights, and kernels for many rows are others than those
  // for few.
  Decode large_decode;
  int64_t large_decode_rows = 0;  // 0: `decode` holds for all

  const Decode& DecodeOf(int64_t num_tokens) const {
    return large_decode_rows > 0 && num_tokens >= large_decode_rows ? large_decode : decode;
  }
};

// Steps that were observed: of one kind, or of both at once.
struct StepCounts {
  int64_t prefill = 0;
  int64_t decode = 0;
  int64_t mixed = 0;

  int64_t Total() const { return prefill + decode + mixed; }
  bool operator==(const StepCounts&) const = default;
};

// The time of a step from its shape. A step of both phases has the larger one of the two bases: the
// weights are read once. Plain data: copied freely, the same numbers give the same times.
class LatencyModel {
 public:
  // Every step takes no time.
  LatencyModel() = default;

  // INVALID_ARGUMENT names a coefficient that is negative, no number, or above 1e6 ms, from where
  // on sums of times overflow.
  static absl::StatusOr<LatencyModel> Create(const LatencyCoefficients& coefficients);

  // Zero for an empty shape.
  absl::Duration StepTime(const StepShape& shape) const;

  // One step that computes a prompt of `num_tokens`, of which the KV of the first `num_cached` is
  // stored.
  absl::Duration PrefillTime(int num_tokens, int num_cached) const;

  // One step of `num_rows` sequences that see `context` keys between them.
  absl::Duration DecodeTime(int64_t num_rows, int64_t context) const;

  const LatencyCoefficients& coefficients() const { return coefficients_; }

 private:
  explicit LatencyModel(const LatencyCoefficients& coefficients) : coefficients_(coefficients) {}

  LatencyCoefficients coefficients_;
};

}  // namespace tandem
