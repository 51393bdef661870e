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
  // How a sequence is cut besides by query: its heads of K and V go together where they are read
  // fastest, in the order in which they lie. By span, its states are
  // [span][kv_head][query][head of the group] from `states` on.
  struct Split {
    bool by_head = true;
    bool by_span = false;
    int span_begin = 0;
    int span_end = 1;
    int64_t states = 0;
  };

  int64_t NumTasks(const AttentionArgs& args, absl::Span<const AttentionRow> rows) const;
  void CutQueries(const AttentionArgs& args, absl::Span<const AttentionRow> rows);
  Split SplitOf(const AttentionArgs& args, const AttentionRow& row, int64_t num_sequences) const;
  void AddTasks(const AttentionArgs& args, const AttentionRow& row, const Split& split);
  void AddMerges(const AttentionArgs& args, const AttentionRow& row, const Split& split);
  // States of one query head in a span of a split sequence.
  float* States(const AttentionArgs& args, const AttentionRow& row, const Split& split, int span,
                int head);

  int64_t wanted_tasks_ = 1;  // so that all threads have work to the end
  bool few_tasks_ = false;    // cut by head
  int queries_per_task_ = 1;
  int64_t scratch_floats_ = 0;
  std::vector<AttentionTask> tasks_;
  std::vector<AttentionMerge> merges_;
  std::vector<Split> splits_;  // of each row
  AlignedBuffer<float> states_;
};

}  // namespace tandem
