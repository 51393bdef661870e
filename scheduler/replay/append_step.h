// What a step is made of, and what comes of it, as compact JSON: arrays without names, because
// there are as many of them as tokens.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/core/ids.h"
#include "scheduler/event.h"

namespace tandem {

// The blocks of the last row of each request.
using BlockTables = absl::flat_hash_map<RequestId, std::vector<BlockId>>;

// [[request, num_tokens so far, begin, num_tokens, draws a token (1 or 0), "blocks"], ..]: the
// tokens of a sequence are known from its request and from earlier outputs. Blocks that continue
// those in `last` are "+" and the further ones, which are seldom any; `last` then has these rows'.
void AppendRows(absl::Span<const BatchRow> rows, BlockTables* last, std::string* out);

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
