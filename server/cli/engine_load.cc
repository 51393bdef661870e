#include "server/cli/engine_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int kLargestCount = 1 << 24;

absl::StatusOr<int> ParseCount(absl::string_view text, absl::string_view whole) {
  int value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < 1 || value > kLargestCount) {
    return absl::InvalidArgumentError(absl::StrCat("expected a number between 1 and ",
                                                   kLargestCount, " in \"", whole, "\", got \"",
                                                   text, "\""));
  }
  return value;
}

// What follows `mark` in *text, cut off there; empty where there is none.
absl::string_view CutAfter(char mark, absl::string_view* text) {
  const size_t at = text->find(mark);
  if (at == absl::string_view::npos) return {};
  const absl::string_view after = text->substr(at + 1);
  *text = text->substr(0, at);
  return after;
}

bool HasMark(absl::string_view text, char mark) {
  return text.find(mark) != absl::string_view::npos;
}

absl::StatusOr<EngineLoad> ParseBatch(absl::string_view text, EngineLoad load) {
  absl::string_view rest = text;
  if (HasMark(rest, '+')) {
    ASSIGN_OR_RETURN(load.num_tokens, ParseCount(CutAfter('+', &rest), text));
  }
  if (HasMark(rest, ':')) {
    ASSIGN_OR_RETURN(load.context, ParseCount(CutAfter(':', &rest), text));
  }
  ASSIGN_OR_RETURN(load.num_sequences, ParseCount(rest, text));
  return load;
}

// Keys that the queries at [begin, begin + num_tokens) of one sequence see in one layer: how many
// there are, and how often one meets a query.
struct Attended {
  int64_t keys = 0;
  int64_t pairs = 0;
};
Attended CountAttended(int64_t begin, int64_t num_tokens, int64_t window) {
  Attended attended;
  const int64_t end = begin + num_tokens;
  attended.keys = window > 0 ? std::min(end, window + num_tokens - 1) : end;
  for (int64_t position = begin; position < end; ++position) {
    attended.pairs += window > 0 ? std::min(position + 1, window) : position + 1;
  }
  return attended;
}

// One step of `num_sequences` sequences, each from position `begin` on.
struct EngineStep {
  int64_t num_sequences = 0;
  int64_t begin = 0;
  int64_t num_tokens = 0;   // of each sequence
  int64_t num_sampled = 0;  // rows whose logits are wanted
};

LoadWork CountStep(const EngineStep& step, const ModelConfig& config, const WeightCounts& weights,
                   const KvLayout& kv) {
  const int64_t rows = step.num_sequences * step.num_tokens;
  LoadWork work;
  work.num_steps = 1;
  work.weight_bytes = weights.layers.bytes + (step.num_sampled > 0 ? weights.head.bytes : 0);
  work.integer_flop =
      2 * (rows * weights.layers.integer_weights + step.num_sampled * weights.head.integer_weights);
  work.float_flop =
      2 * (rows * weights.layers.float_weights + step.num_sampled * weights.head.float_weights);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const int64_t window = config.LayerSlides(layer) ? config.sliding_window : 0;
    const Attended attended = CountAttended(step.begin, step.num_tokens, window);
    work.kv_bytes += step.num_sequences * attended.keys * 2 * kv.TokenBytes();
    work.float_flop += step.num_sequences * attended.pairs * 4 * config.num_heads * config.head_dim;
  }
  return work;
}

}  // namespace

std::string EngineLoad::Name() const {
  if (phase == Phase::kPrefill) return absl::StrCat("prefill ", num_tokens);
  return absl::StrCat("decode batch ", num_sequences, " (", context, "..", context + num_tokens,
                      ")");
}

absl::StatusOr<std::vector<EngineLoad>> ParsePrompts(absl::string_view text) {
  std::vector<EngineLoad> loads;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    EngineLoad load;
    load.phase = EngineLoad::Phase::kPrefill;
    ASSIGN_OR_RETURN(load.num_tokens, ParseCount(absl::StripAsciiWhitespace(part), text));
    loads.push_back(load);
  }
  return loads;
}

absl::StatusOr<std::vector<EngineLoad>> ParseBatches(absl::string_view text,
                                                     const EngineLoad& defaults) {
  std::vector<EngineLoad> loads;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    ASSIGN_OR_RETURN(EngineLoad load, ParseBatch(absl::StripAsciiWhitespace(part), defaults));
    loads.push_back(load);
  }
  return loads;
}

LoadWork& LoadWork::operator+=(const LoadWork& other) {
  num_steps += other.num_steps;
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  integer_flop += other.integer_flop;
  float_flop += other.float_flop;
  return *this;
}

LoadWork CountWork(const EngineLoad& load, const ModelConfig& config, const WeightCounts& weights,
                   const KvLayout& kv, int max_num_batched_tokens) {
  const bool is_prefill = load.phase == EngineLoad::Phase::kPrefill;
  LoadWork work;
  EngineStep step;
  step.num_sequences = load.num_sequences;
  for (int done = 0; done < load.num_tokens; done += static_cast<int>(step.num_tokens)) {
    step.begin = load.context + done;
    step.num_tokens = is_prefill ? std::min(max_num_batched_tokens, load.num_tokens - done) : 1;
    const bool samples = !is_prefill || done + step.num_tokens == load.num_tokens;
    step.num_sampled = samples ? load.num_sequences : 0;
    work += CountStep(step, config, weights, kv);
  }
  return work;
}

}  // namespace tandem
