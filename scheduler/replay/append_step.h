// What a step is made of, and what comes of it, as compact JSON: arrays without names, because
// there are as many of them as tokens.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "scheduler/event.h"

namespace tandem {

// [[request, num_tokens so far, begin, num_tokens, draws a token (1 or 0), "blocks"], ..]: the
// tokens of a sequence are known from its request and from earlier outputs.
void AppendRows(absl::Span<const BatchRow> rows, std::string* out);

// [["out", block, host_block], ..].
void AppendCopies(absl::Span<const BlockCopy> copies, std::string* out);

// One element for each row of the output: its token, or null; an object where there is more to say:
// {"request":.., "tokens":[..], "status":[..], "prompt_logprobs":"positions"}, with `request` where
// it is not the batch's. No probabilities.
void AppendOutput(const Batch& batch, const StepOutput& output, std::string* out);

// [["token", request, attempt, index, token], ..]: the kind's name, whose it is, then the fields of
// the kind. No probabilities.
void AppendEvents(absl::Span<const Event> events, std::string* out);

}  // namespace tandem
