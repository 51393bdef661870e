#include "engine/runner/step_builder.h"

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

absl::Status Refuse(const BatchRow& row, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("request_id=", row.request.value(), ": ", reason));
}

}  // namespace

absl::Status CheckRow(const BatchRow& row, const StepLimits& limits) {
  const int64_t end = int64_t{row.begin} + row.num_tokens;
  const int64_t num_known = static_cast<int64_t>(row.tokens.size());
  if (row.begin < 0 || row.num_tokens < 1 || end > num_known) {
    return Refuse(row, absl::StrCat("positions [", row.begin, ", ", end,
                                    ") are no part of a sequence of ", num_known, " tokens"));
  }
  if (row.num_prompt_tokens < 0 || row.num_prompt_tokens > num_known) {
    return Refuse(row, absl::StrCat("a prompt of ", row.num_prompt_tokens,
                                    " tokens in a sequence of ", num_known));
  }
  if (end > limits.max_model_len) {
    return Refuse(row, absl::StrCat("position ", end - 1, " is beyond the model length of ",
                                    limits.max_model_len));
  }
  if (row.sampling == nullptr) return Refuse(row, "no sampling parameters");
  if (row.sample && end != num_known) {
    return Refuse(row, absl::StrCat("cannot sample after position ", end - 1, " of ", num_known));
  }
  if (row.layer_plan != 0) return Refuse(row, absl::StrCat("unknown layer plan ", row.layer_plan));
  // The whole sequence, because penalties and prompt log-probabilities index by token id.
  for (TokenId token : row.tokens) {
    if (token < 0 || token >= limits.vocab_size) {
      return Refuse(row, absl::StrCat("token id ", token, " is outside the vocabulary of ",
                                      limits.vocab_size));
    }
  }
  const int64_t capacity = static_cast<int64_t>(row.block_table.size()) * limits.block_size;
  if (capacity < end) {
    return Refuse(row, absl::StrCat("position ", end - 1, " has no block: ", row.block_table.size(),
                                    " of ", limits.block_size, " tokens"));
  }
  for (BlockId block : row.block_table) {
    if (block < 0 || block >= limits.num_blocks) {
      return Refuse(row,
                    absl::StrCat("block ", block, " is outside the pool of ", limits.num_blocks));
    }
  }
  return absl::OkStatus();
}

void AppendRow(const BatchRow& row, int index, const StepLimits& limits, Step& step) {
  StepInput& input = step.input;
  AttentionRow sequence;
  sequence.row_begin = input.NumRows();
  sequence.num_rows = row.num_tokens;
  sequence.position_begin = row.begin;
  sequence.block_table = row.block_table;
  input.sequences.push_back(sequence);

  const int end = row.begin + row.num_tokens;
  const bool score_prompt = row.sampling->num_prompt_logprobs >= 0;
  for (int position = row.begin; position < end; ++position) {
    const bool sample = row.sample && position == end - 1;
    const bool score = score_prompt && position + 1 < row.num_prompt_tokens;
    if (sample || score) {
      input.logit_rows.push_back(static_cast<int>(input.NumRows()));
      step.logit_uses.push_back({index, position, sample});
    }
    const int64_t block = row.block_table[position / limits.block_size];
    input.token_ids.push_back(row.tokens[position]);
    input.positions.push_back(position);
    input.slots.push_back(block * limits.block_size + position % limits.block_size);
  }
}

}  // namespace tandem
