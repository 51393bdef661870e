#include "engine/kernels/cpu/attention_plan.h"

#include <algorithm>

#include "engine/core/divide_up.h"
#include "engine/core/kv_layout.h"

namespace tandem {
namespace {

// Floats of the queries of one task: 48 KiB, and as many of each of its two states, leave an L2 of
// 512 KiB room for tiles. Many, because every task decodes and transposes the keys it meets.
constexpr int64_t kQueryFloats = 12 * 1024;

// Tasks for each thread that are worth smaller ones, and the rows below which none is cut.
constexpr int64_t kAttentionTasksPerThread = 4;
constexpr int64_t kFewestRows = kAttentionRowBlock;

// Rows of a sequence, of one head of K and V, that may be split by span: states are written and
// read again.
constexpr int64_t kMostSplitRows = kAttentionRowBlock;

// Rows of a sequence, of one head of K and V, that memory keeps waiting rather than arithmetic.
constexpr int64_t kMostWaitingRows = 8;

// Keys and values of a tile that a task may fetch at once: half of an L2 of 512 KiB.
constexpr int64_t kMostTileBytes = 256 * 1024;

int64_t Group(const AttentionArgs& args) { return args.num_heads / args.kv.num_kv_heads; }

int64_t StateFloats(const AttentionArgs& args) {
  return AttentionStateFloats(PaddedHeadDim(args.kv.head_dim));
}

}  // namespace

void AttentionPlan::Build(const AttentionArgs& args, absl::Span<const AttentionRow> rows,
                          int num_threads) {
  wanted_tasks_ = num_threads > 1 ? kAttentionTasksPerThread * num_threads : 1;
  CutQueries(args, rows);
  few_tasks_ = NumTasks(args, rows) < wanted_tasks_;
  splits_.clear();
  int64_t num_states = 0;
  for (const AttentionRow& row : rows) {
    Split split = SplitOf(args, row, rows.size());
    split.states = num_states;
    if (split.by_span) {
      num_states += int64_t{split.span_end - split.span_begin} * row.num_rows * args.num_heads;
    }
    splits_.push_back(split);
  }
  states_.Reserve(num_states * StateFloats(args));

  tasks_.clear();
  merges_.clear();
  scratch_floats_ = 0;
  // Prompts stand behind single tokens, and late queries see most.
  for (size_t i = rows.size(); i-- > 0;) {
    AddTasks(args, rows[i], splits_[i]);
    if (splits_[i].by_span) AddMerges(args, rows[i], splits_[i]);
  }
}

void AttentionPlan::CutQueries(const AttentionArgs& args, absl::Span<const AttentionRow> rows) {
  int64_t rows_per_task = kQueryFloats / PaddedHeadDim(args.kv.head_dim);
  while (true) {
    rows_per_task = std::max(rows_per_task, kFewestRows);
    queries_per_task_ = static_cast<int>(std::max<int64_t>(rows_per_task / Group(args), 1));
    if (rows_per_task == kFewestRows || NumTasks(args, rows) >= wanted_tasks_) return;
    rows_per_task /= 2;
  }
}

int64_t AttentionPlan::NumTasks(const AttentionArgs& args,
                                absl::Span<const AttentionRow> rows) const {
  int64_t num_tasks = 0;
  for (const AttentionRow& row : rows) num_tasks += DivideUp(row.num_rows, queries_per_task_);
  return num_tasks * args.kv.num_kv_heads;
}

AttentionPlan::Split AttentionPlan::SplitOf(const AttentionArgs& args, const AttentionRow& row,
                                            int64_t num_sequences) const {
  Split split;
  const int last = row.position_begin + row.num_rows - 1;
  split.span_begin = FirstVisible(row.position_begin, args.window) / kAttentionSpan;
  split.span_end = last / kAttentionSpan + 1;
  const int num_spans = split.span_end - split.span_begin;
  const int64_t num_rows = row.num_rows * Group(args);
  split.by_span = few_tasks_ && num_spans > 1 && num_rows <= kMostSplitRows &&
                  row.num_rows <= queries_per_task_;
  const bool enough =
      num_sequences >= wanted_tasks_ || (split.by_span && num_spans >= wanted_tasks_);
  const LayerKv& kv = args.kv;
  const int64_t tile_bytes =
      2 * kAttentionTile * kv.num_kv_heads * KvHeadBytes(kv.dtype, kv.head_dim);
  split.by_head = !enough || num_rows > kMostWaitingRows || row.num_rows > queries_per_task_ ||
                  tile_bytes > kMostTileBytes;
  return split;
}

float* AttentionPlan::States(const AttentionArgs& args, const AttentionRow& row, const Split& split,
                             int span, int head) {
  const int64_t group = Group(args);
  const int64_t kv_heads = int64_t{span - split.span_begin} * args.kv.num_kv_heads + head / group;
  const int64_t at = split.states + kv_heads * row.num_rows * group + head % group;
  return states_.data() + at * StateFloats(args);
}

void AttentionPlan::AddTasks(const AttentionArgs& args, const AttentionRow& row,
                             const Split& split) {
  const LayerKv& kv = args.kv;
  const int group = static_cast<int>(Group(args));
  const int heads_per_task = split.by_head ? 1 : kv.num_kv_heads;
  AttentionTask task;
  task.query_stride = args.num_heads * kv.head_dim;
  task.heads_per_group = group;
  task.num_kv_heads = heads_per_task;
  task.head_dim = kv.head_dim;
  task.window = args.window;
  task.scale = args.scale;
  task.dtype = kv.dtype;
  task.head_bytes = KvHeadBytes(kv.dtype, kv.head_dim);
  task.token_bytes = task.head_bytes * kv.num_kv_heads;
  task.block_size = kv.block_size;
  task.block_table = row.block_table.data();
  const int num_parts = static_cast<int>(DivideUp(row.num_rows, queries_per_task_));
  for (int part = num_parts - 1; part >= 0; --part) {
    const int first = part * queries_per_task_;
    task.num_queries = std::min(queries_per_task_, row.num_rows - first);
    task.position_begin = row.position_begin + first;
    const int64_t num_rows = int64_t{heads_per_task} * task.num_queries * group;
    scratch_floats_ = std::max(scratch_floats_, AttentionScratchFloats(num_rows, kv.head_dim));
    for (int head = 0; head < kv.num_kv_heads; head += heads_per_task) {
      const int64_t offset =
          (row.row_begin + first) * task.query_stride + int64_t{head} * group * kv.head_dim;
      task.q = args.q + offset;
      task.out = args.out + offset;
      task.keys = static_cast<const uint8_t*>(kv.keys) + head * task.head_bytes;
      task.values = static_cast<const uint8_t*>(kv.values) + head * task.head_bytes;
      if (!split.by_span) {
        tasks_.push_back(task);
        continue;
      }
      for (int span = split.span_begin; span < split.span_end; ++span) {
        task.span_begin = span;
        task.span_end = span + 1;
        task.span_states = States(args, row, split, span, head * group);
        tasks_.push_back(task);
      }
    }
  }
}

void AttentionPlan::AddMerges(const AttentionArgs& args, const AttentionRow& row,
                              const Split& split) {
  const int64_t group = Group(args);
  for (int query = 0; query < row.num_rows; ++query) {
    const int position = row.position_begin + query;
    const int span_begin = FirstVisible(position, args.window) / kAttentionSpan;
    for (int head = 0; head < args.num_heads; ++head) {
      AttentionMerge merge;
      merge.states = States(args, row, split, span_begin, head) + query * group * StateFloats(args);
      merge.span_stride = int64_t{row.num_rows} * args.num_heads * StateFloats(args);
      merge.span_begin = span_begin;
      merge.span_end = position / kAttentionSpan + 1;
      merge.head_dim = args.kv.head_dim;
      merge.out =
          args.out + ((row.row_begin + query) * args.num_heads + head) * int64_t{args.kv.head_dim};
      merges_.push_back(merge);
    }
  }
}

}  // namespace tandem
