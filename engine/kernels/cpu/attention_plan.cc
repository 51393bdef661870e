#include "engine/kernels/cpu/attention_plan.h"

#include <algorithm>

#include "engine/core/kv_layout.h"

namespace tandem {
namespace {

// Floats of the queries of one task: 48 KiB, and as many of each of its two states, leave an L2 of
// 512 KiB room for tiles. Many, because every task decodes and transposes the keys it meets.
constexpr int64_t kQueryFloats = 12 * 1024;

// Tasks for each thread that are worth smaller ones, and the rows below which none is cut.
constexpr int kTasksPerThread = 4;
constexpr int kFewestRows = kAttentionRowBlock;

// Rows of a sequence, of one head of K and V, that may be split by span: states are written and
// read again.
constexpr int kMostSplitRows = kAttentionRowBlock;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void AttentionPlan::Build(const AttentionArgs& args, absl::Span<const AttentionRow> rows,
                          int num_threads) {
  const LayerKv& kv = args.kv;
  const int group = args.num_heads / kv.num_kv_heads;
  const int64_t most_rows = std::max<int64_t>(
      kQueryFloats / PaddedHeadDim(kv.head_dim) / kAttentionRowBlock * kAttentionRowBlock,
      kFewestRows);
  int64_t rows_per_task = most_rows;
  const int64_t wanted = num_threads > 1 ? int64_t{kTasksPerThread} * num_threads : 1;
  queries_per_task_ = static_cast<int>(std::max<int64_t>(rows_per_task / group, 1));
  while (rows_per_task > kFewestRows && NumTasks(args, rows) < wanted) {
    rows_per_task = std::max<int64_t>(rows_per_task / 2, kFewestRows);
    queries_per_task_ = static_cast<int>(std::max<int64_t>(rows_per_task / group, 1));
  }
  scratch_floats_ = AttentionScratchFloats(int64_t{queries_per_task_} * group, kv.head_dim);

  const bool few_tasks = NumTasks(args, rows) < wanted;
  splits_.clear();
  int64_t num_states = 0;
  for (const AttentionRow& row : rows) {
    splits_.push_back(SplitOf(args, row, few_tasks));
    Split& split = splits_.back();
    if (!split.by_span) continue;
    split.states = num_states;
    num_states += int64_t{split.span_end - split.span_begin} * row.num_rows * args.num_heads;
  }
  states_.Reserve(num_states * AttentionStateFloats(PaddedHeadDim(kv.head_dim)));

  tasks_.clear();
  merges_.clear();
  // Prompts stand behind single tokens, and late queries see most.
  for (size_t i = rows.size(); i-- > 0;) {
    AddTasks(args, rows[i], splits_[i]);
    if (splits_[i].by_span) AddMerges(args, rows[i], splits_[i]);
  }
}

int64_t AttentionPlan::NumTasks(const AttentionArgs& args,
                                absl::Span<const AttentionRow> rows) const {
  int64_t num_tasks = 0;
  for (const AttentionRow& row : rows) num_tasks += DivideUp(row.num_rows, queries_per_task_);
  return num_tasks * args.kv.num_kv_heads;
}

AttentionPlan::Split AttentionPlan::SplitOf(const AttentionArgs& args, const AttentionRow& row,
                                            bool few_tasks) {
  Split split;
  const int last = row.position_begin + row.num_rows - 1;
  split.span_begin = FirstVisible(row.position_begin, args.window) / kAttentionSpan;
  split.span_end = last / kAttentionSpan + 1;
  const int64_t num_rows = int64_t{row.num_rows} * args.num_heads / args.kv.num_kv_heads;
  split.by_span = few_tasks && num_rows <= kMostSplitRows && row.num_rows <= queries_per_task_ &&
                  split.span_end - split.span_begin > 1;
  return split;
}

// States are [kv_head][span][query][head of the group].
void AttentionPlan::AddTasks(const AttentionArgs& args, const AttentionRow& row,
                             const Split& split) {
  const LayerKv& kv = args.kv;
  const int group = args.num_heads / kv.num_kv_heads;
  const int query_stride = args.num_heads * kv.head_dim;
  const int64_t head_bytes = KvHeadBytes(kv.dtype, kv.head_dim);
  const int64_t state_floats = AttentionStateFloats(PaddedHeadDim(kv.head_dim));
  const int num_spans = split.span_end - split.span_begin;
  const int num_parts = static_cast<int>(DivideUp(row.num_rows, queries_per_task_));
  for (int part = num_parts - 1; part >= 0; --part) {
    const int first = part * queries_per_task_;
    for (int head = 0; head < kv.num_kv_heads; ++head) {
      const int64_t offset =
          (row.row_begin + first) * query_stride + int64_t{head} * group * kv.head_dim;
      AttentionTask task{.q = args.q + offset,
                         .out = args.out + offset,
                         .num_queries = std::min(queries_per_task_, row.num_rows - first),
                         .query_stride = query_stride,
                         .heads_per_group = group,
                         .head_dim = kv.head_dim,
                         .position_begin = row.position_begin + first,
                         .window = args.window,
                         .scale = args.scale,
                         .keys = static_cast<const uint8_t*>(kv.keys) + head * head_bytes,
                         .values = static_cast<const uint8_t*>(kv.values) + head * head_bytes,
                         .dtype = kv.dtype,
                         .token_bytes = head_bytes * kv.num_kv_heads,
                         .block_size = kv.block_size,
                         .block_table = row.block_table.data()};
      if (!split.by_span) {
        tasks_.push_back(task);
        continue;
      }
      for (int span = split.span_begin; span < split.span_end; ++span) {
        const int64_t at = split.states + (int64_t{head} * num_spans + span - split.span_begin) *
                                              row.num_rows * group;
        task.span_begin = span;
        task.span_end = span + 1;
        task.span_states = states_.data() + at * state_floats;
        tasks_.push_back(task);
      }
    }
  }
}

void AttentionPlan::AddMerges(const AttentionArgs& args, const AttentionRow& row,
                              const Split& split) {
  const LayerKv& kv = args.kv;
  const int group = args.num_heads / kv.num_kv_heads;
  const int64_t state_floats = AttentionStateFloats(PaddedHeadDim(kv.head_dim));
  const int num_spans = split.span_end - split.span_begin;
  for (int query = 0; query < row.num_rows; ++query) {
    const int position = row.position_begin + query;
    const int span_begin = FirstVisible(position, args.window) / kAttentionSpan;
    for (int head = 0; head < args.num_heads; ++head) {
      const int64_t at = split.states +
                         (int64_t{head / group} * num_spans + span_begin - split.span_begin) *
                             row.num_rows * group +
                         query * group + head % group;
      merges_.push_back(
          {.states = states_.data() + at * state_floats,
           .span_stride = row.num_rows * group * state_floats,
           .span_begin = span_begin,
           .span_end = position / kAttentionSpan + 1,
           .head_dim = kv.head_dim,
           .out = args.out + ((row.row_begin + query) * args.num_heads + head) * kv.head_dim});
    }
  }
}

}  // namespace tandem
