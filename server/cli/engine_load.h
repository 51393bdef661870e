// The loads that `tandem bench-engine` puts on an engine, and how much work each is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/core/kv_layout.h"
#include "engine/core/model_config.h"
#include "engine/weights/weight_counts.h"

namespace tandem {

// Sequences that are computed side by side from `context` stored tokens on: a prompt in chunks, or
// one token of each per step.
struct EngineLoad {
  enum class Phase { kPrefill, kDecode };

  Phase phase = Phase::kDecode;
  int num_sequences = 1;
  int context = 0;     // tokens stored before the first step
  int num_tokens = 0;  // computed for each sequence

  // "prefill 512", "decode batch 8 (128..192)".
  std::string Name() const;
  int64_t TotalTokens() const { return int64_t{num_sequences} * num_tokens; }
};

// "128,512" to prefills of one prompt each. INVALID_ARGUMENT names what is not a positive number.
absl::StatusOr<std::vector<EngineLoad>> ParsePrompts(absl::string_view text);

// "1,64:128+32": BATCH[:CONTEXT][+NEW], where what is left out comes from `defaults`. Same errors.
absl::StatusOr<std::vector<EngineLoad>> ParseBatches(absl::string_view text,
                                                     const EngineLoad& defaults);

// What all steps of one pass through a load come to.
struct LoadWork {
  int64_t num_steps = 0;
  int64_t weight_bytes = 0;  // every matrix once per step
  int64_t kv_bytes = 0;      // every key and value that a sequence sees, once per step
  int64_t integer_flop = 0;  // products with packed weights
  int64_t float_flop = 0;    // all other products, and attention

  LoadWork& operator+=(const LoadWork& other);
  int64_t Bytes() const { return weight_bytes + kv_bytes; }
  int64_t Flop() const { return integer_flop + float_flop; }
};

// `max_num_batched_tokens` cuts prompts into chunks, as serving does.
LoadWork CountWork(const EngineLoad& load, const ModelConfig& config, const WeightCounts& weights,
                   const KvLayout& kv, int max_num_batched_tokens);

}  // namespace tandem
