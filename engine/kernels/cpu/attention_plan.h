// How attention over a batch is cut into tasks for threads: by sequence, head of K and V and range
// of queries; and by span where few sequences are long. Cuts never show in the results.
#pragma once

#include <vector>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/ops.h"

namespace tandem {

// Reused from call to call.
class AttentionPlan {
 public:
  // Heavy tasks come first. `args` and block tables must outlive the use of the tasks.
  void Build(const AttentionArgs& args, absl::Span<const AttentionRow> rows, int num_threads);

  // Any order, any thread; each needs scratch_floats() of scratch.
  absl::Span<AttentionTask> tasks() { return absl::MakeSpan(tasks_); }
  int64_t scratch_floats() const { return scratch_floats_; }
  // After all tasks: any order, any thread.
  absl::Span<const AttentionMerge> merges() const { return merges_; }

 private:
  // A sequence whose tasks are single spans: where their states begin.
  struct Split {
    bool by_span = false;
    int span_begin = 0;
    int span_end = 1;
    int64_t states = 0;
  };

  int64_t NumTasks(const AttentionArgs& args, absl::Span<const AttentionRow> rows) const;
  Split SplitOf(const AttentionArgs& args, const AttentionRow& row, bool few_tasks);
  void AddTasks(const AttentionArgs& args, const AttentionRow& row, const Split& split);
  void AddMerges(const AttentionArgs& args, const AttentionRow& row, const Split& split);

  int queries_per_task_ = 1;
  int64_t scratch_floats_ = 0;
  std::vector<AttentionTask> tasks_;
  std::vector<AttentionMerge> merges_;
  std::vector<Split> splits_;  // of each row
  AlignedBuffer<float> states_;
};

}  // namespace tandem
