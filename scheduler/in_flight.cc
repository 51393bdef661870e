#include "scheduler/in_flight.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {

void InFlightBatches::Add(uint64_t step, absl::Time begin,
                          const std::vector<Sequence*>& sequences) {
  InFlightBatch& batch = batches_.emplace_back();
  batch.step = step;
  batch.begin = begin;
  for (Sequence* sequence : sequences) {
    sequence->in_flight_step = step;
    batch.rows.emplace_back().sequence = sequence;
  }
}

void InFlightBatches::Keep(std::unique_ptr<Sequence> ended) {
  for (InFlightBatch& batch : batches_) {
    if (batch.step != ended->in_flight_step) continue;
    const auto row = std::find_if(batch.rows.begin(), batch.rows.end(),
                                  [&](const Row& r) { return r.sequence == ended.get(); });
    row->ended = std::move(ended);
    return;
  }
}

size_t InFlightBatches::Index(const Batch& batch) const {
  const auto found = std::find_if(batches_.begin(), batches_.end(),
                                  [&](const InFlightBatch& b) { return b.step == batch.step; });
  CHECK(found != batches_.end()) << "step " << batch.step << " is not in flight";
  return found - batches_.begin();
}

absl::Time InFlightBatches::Begin(const Batch& batch) const { return batches_[Index(batch)].begin; }

std::vector<InFlightBatches::Row> InFlightBatches::Take(const Batch& batch) {
  const size_t index = Index(batch);
  std::vector<Row> rows = std::move(batches_[index].rows);
  batches_.erase(batches_.begin() + index);
  for (Row& row : rows) row.sequence->in_flight_step = 0;
  return rows;
}

absl::Status CheckOutput(const Batch& batch, const StepOutput& output) {
  if (output.rows.size() != batch.rows.size()) {
    return absl::InternalError(absl::StrCat("step ", batch.step, " has ", batch.rows.size(),
                                            " rows, its output ", output.rows.size()));
  }
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const BatchRow& row = batch.rows[i];
    const RowOutput& answer = output.rows[i];
    const size_t num_tokens = row.sample && answer.status.ok() ? 1 : 0;
    if (answer.request == row.request && answer.tokens.size() == num_tokens) continue;
    return absl::InternalError(absl::StrCat(
        "step ", batch.step, " row ", i, ": expected ", num_tokens, " tokens of request ",
        row.request.value(), ", got ", answer.tokens.size(), " of ", answer.request.value()));
  }
  return absl::OkStatus();
}

}  // namespace tandem
