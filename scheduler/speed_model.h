// How long work takes on instances of one kind: what the Router compares. In milliseconds.
#pragma once

#include <cstdint>

#include "engine/core/kv_layout.h"
#include "scheduler/instance_view.h"
#include "scheduler/latency_model.h"

namespace tandem {

// What an instance has to do.
struct InstanceLoad {
  int64_t num_queued_tokens = 0;  // of prompts, to be computed
  double queued_squares = 0;      // of the same, as in StepShape
  int num_queued_prompts = 0;
  int num_rows = 0;  // sequences that decode here, or will
  int64_t num_context_tokens = 0;
  int chunk_tokens = 512;  // most of prompts in a step that also decodes
  int depth = 1;           // steps in flight at once
};

// A prompt for one instance.
struct PromptWork {
  int num_tokens = 0;
  int num_cached = 0;  // of the first ones, KV is there
};

// Fitted to what instances report of their steps; until they do, a guess, by which work is
// compared but nothing predicted.
class SpeedModel {
 public:
  // Instances of a kind learn the same; their reports are averaged, the later ones counting more.
  void Learn(const StepLatency& reported);

  bool knows_prefill() const { return knows_prefill_; }
  bool knows_decode() const { return knows_decode_; }

  // Until a new prompt is begun.
  double WaitMs(const InstanceLoad& load) const;

  // From there to its first token, other rows decoding along with its chunks.
  double PrefillMs(const InstanceLoad& load, const PromptWork& prompt) const;

  // A step of decoding with one sequence more, of `num_tokens`.
  double StepMs(const InstanceLoad& load, int num_tokens) const;

 private:
  double PromptMs(double tokens, double squares) const;
  // Of `num_steps` steps with prompt chunks, beside these: what they cost for being steps, and the
  // rows that decode in them.
  double StepsMs(const InstanceLoad& load, double num_steps) const;

  bool knows_prefill_ = false;
  bool knows_decode_ = false;
  // A millisecond for a prompt token, and for a row: what is queued and who decodes then counts.
  LatencyCoefficients coefficients_{.prefill = {.base_ms = 0, .token_ms = 1, .square_ms = 0},
                                    .decode = {.base_ms = 10, .context_ms = 0, .row_ms = 1}};
};

// The part of a transfer of KV that computing the prompt does not hide, layer by layer: either the
// last layer's or, where the link is slower than the prefill, what is left of all. `prefill_ms` is
// the time in which the prompt is computed.
double ExposedTransferMs(const KvLayout& layout, int num_tokens, double bytes_per_second,
                         double prefill_ms);

}  // namespace tandem
