// The batches that a runner computes now, and the sequences that ended while one of them still
// reads their tokens and writes their blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/core/batch.h"
#include "scheduler/sequence.h"

namespace tandem {

// Owned by the InstanceScheduler.
class InFlightBatches {
 public:
  struct Row {
    Sequence* sequence = nullptr;
    std::unique_ptr<Sequence> ended;  // set when it ended meanwhile: its blocks are to be freed
  };

  // Marks the sequences, in the order of the batch's rows, as in flight in `step` from `begin` on.
  void Add(uint64_t step, absl::Time begin, const std::vector<Sequence*>& sequences);

  // Holds a sequence that is in flight and has ended until its batch is taken.
  void Keep(std::unique_ptr<Sequence> ended);

  // When it was added. The batch is one that was added and not yet taken, here and below.
  absl::Time Begin(const Batch& batch) const;

  // The rows of `batch`, no longer in flight.
  std::vector<Row> Take(const Batch& batch);

  int size() const { return static_cast<int>(batches_.size()); }

 private:
  struct InFlightBatch {
    uint64_t step = 0;
    absl::Time begin;
    std::vector<Row> rows;
  };
  size_t Index(const Batch& batch) const;

  std::deque<InFlightBatch> batches_;
};

// INTERNAL unless `output` has the rows of `batch`, with one token where the row samples and none
// elsewhere.
absl::Status CheckOutput(const Batch& batch, const StepOutput& output);

}  // namespace tandem
