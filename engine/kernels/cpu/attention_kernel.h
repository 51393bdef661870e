// Causal attention over paged K and V with a running softmax (Milakov and Gimelshein 2018, "Online
// normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention", algorithm 1).
//
// Keys are met in tiles of kAttentionTile positions counted from 0. What happens to a query in a
// tile depends on its own position only: each score is one chain over head_dim, each output one
// chain over the tile's visible keys in order. So a query's output has the same bits in any chunk.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/vector_math.h"
#include "engine/kernels/cpu/weight_blocks.h"

namespace tandem {

// c[r] = c[r] * decay[r] + sum_{j in [begin, end)} a[r, j] * b[j], for rows of any number and
// width.
struct WeightedSumArgs {
  int num_rows = 0;
  int64_t width = 0;         // of c and b; a multiple of 16
  const float* a = nullptr;  // [num_rows, end]
  int64_t a_stride = 0;
  const float* b = nullptr;  // [end, width]
  int64_t b_stride = 0;
  int begin = 0;
  int end = 0;
  const float* decay = nullptr;  // [num_rows]; null: c starts at 0
  float* c = nullptr;            // [num_rows, width]
  int64_t c_stride = 0;
};

// Rows [row, row + kRows) of columns [column, column + 16 kVectors).
template <typename V, int kRows, int kVectors>
[[gnu::always_inline]] inline void WeightedSumTile(const WeightedSumArgs& args, int row,
                                                   int64_t column) {
  using F = typename V::F;
  const float* a = args.a + row * args.a_stride;
  const float* b = args.b + column;
  float* c = args.c + row * args.c_stride + column;
  F sums[kRows][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] =
          args.decay ? V::Mul(V::Load(c + r * args.c_stride + v * 16), V::Set(args.decay[row + r]))
                     : V::Zero();
    }
  }
  for (int j = args.begin; j < args.end; ++j) {
    F values[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) values[v] = V::Load(b + j * args.b_stride + v * 16);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const F weight = V::Set(a[r * args.a_stride + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::MulAdd(weight, values[v], sums[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::Store(c + r * args.c_stride + v * 16, sums[r][v]);
  }
}

// kSumRows <= 4 rows at once, the rest in one smaller tile.
template <typename V>
void WeightedSum(const WeightedSumArgs& args) {
  constexpr int kWide = 16 * V::kSumVectors;
  const auto all_columns = [&args]<int kRows>(int row) {
    int64_t d = 0;
    for (; d + kWide <= args.width; d += kWide) {
      WeightedSumTile<V, kRows, V::kSumVectors>(args, row, d);
    }
    for (; d < args.width; d += 16) WeightedSumTile<V, kRows, 1>(args, row, d);
  };
  int row = 0;
  for (; row + V::kSumRows <= args.num_rows; row += V::kSumRows) {
    all_columns.template operator()<V::kSumRows>(row);
  }
  const int rest = args.num_rows - row;
  if constexpr (V::kSumRows > 3) {
    if (rest == 3) all_columns.template operator()<3>(row);
  }
  if constexpr (V::kSumRows > 2) {
    if (rest == 2) all_columns.template operator()<2>(row);
  }
  if (rest == 1) all_columns.template operator()<1>(row);
}

// One task at work: its scratch memory and what stays the same over its tiles.
template <typename V>
class AttentionKernel {
 public:
  explicit AttentionKernel(const AttentionTask& task)
      : task_(task),
        num_rows_(task.num_queries * task.heads_per_group),
        width_((task.head_dim + 15) / 16 * 16) {
    float* p = task.scratch;
    const auto take = [&p](int64_t floats) { return p += floats, p - floats; };
    keys_ = take(kAttentionTile * width_);
    values_ = take(kAttentionTile * width_);
    q_ = take(num_rows_ * width_);
    sums_ = take(num_rows_ * width_);
    scores_ = take(num_rows_ * kAttentionTile);
    max_ = take(num_rows_);
    total_ = take(num_rows_);
    decay_ = take(num_rows_);
  }

  void Run() {
    LoadQueries();
    const int last = task_.position_begin + task_.num_queries - 1;
    const int first_tile = FirstVisible(task_.position_begin) / kAttentionTile;
    for (int tile = first_tile; tile <= last / kAttentionTile; ++tile) {
      const int begin = tile * kAttentionTile;
      const int num_keys = last + 1 - begin < kAttentionTile ? last + 1 - begin : kAttentionTile;
      if (task_.dtype == DType::kF32) LoadTile<DType::kF32>(begin, num_keys);
      if (task_.dtype == DType::kF16) LoadTile<DType::kF16>(begin, num_keys);
      if (task_.dtype == DType::kBF16) LoadTile<DType::kBF16>(begin, num_keys);
      WeightedSum<V>({.num_rows = num_rows_,
                      .width = kAttentionTile,
                      .a = q_,
                      .a_stride = width_,
                      .b = keys_,
                      .b_stride = kAttentionTile,
                      .end = task_.head_dim,
                      .c = scores_,
                      .c_stride = kAttentionTile});
      AddTile(begin);
    }
    StoreOutput();
  }

 private:
  using F = typename V::F;

  // Keys [begin, end) of a tile that a query sees, counted from the tile's start.
  struct Visible {
    int begin, end;
    bool operator==(const Visible& other) const = default;
  };

  int FirstVisible(int position) const {
    return task_.window > 0 && position >= task_.window ? position - task_.window + 1 : 0;
  }

  Visible VisibleKeys(int query, int tile_begin) const {
    const int position = task_.position_begin + query;
    const int begin = FirstVisible(position) - tile_begin;
    const int end = position + 1 - tile_begin;
    return {begin > 0 ? begin : 0, end < kAttentionTile ? end : kAttentionTile};
  }

  void LoadQueries() {
    for (int row = 0; row < num_rows_; ++row) {
      const float* q = task_.q + row / task_.heads_per_group * task_.query_stride +
                       row % task_.heads_per_group * task_.head_dim;
      for (int d = 0; d < task_.head_dim; ++d) q_[row * width_ + d] = q[d] * task_.scale;
      for (int64_t d = 0; d < width_; ++d) sums_[row * width_ + d] = 0.0f;
      max_[row] = -__builtin_inff();
      total_[row] = 0.0f;
    }
  }

  // Floats of the tile: values as they lie, [key, width]; keys transposed, [width, key], so that 16
  // scores are computed side by side.
  template <DType D>
  void LoadTile(int begin, int num_keys) {
    constexpr int64_t kElementBytes = WeightBlock<V, D>::kBytes / 16;
    for (int group = 0; group < kAttentionTile; group += 16) {
      const uint8_t* key_rows[16];
      for (int i = 0; i < 16; ++i) {
        key_rows[i] = nullptr;
        const int key = group + i;
        if (key >= num_keys) continue;
        const int64_t offset = TokenOffset(begin + key);
        key_rows[i] = task_.keys + offset;
        DecodeRow<V, D>(task_.values + offset, task_.head_dim, values_ + key * width_);
        for (int64_t d = task_.head_dim; d < width_; ++d) values_[key * width_ + d] = 0.0f;
      }
      for (int64_t d = 0; d < task_.head_dim; d += 16) {
        const int64_t rest = task_.head_dim - d;
        F block[16];
        for (int i = 0; i < 16; ++i) {
          block[i] = V::Zero();
          if (key_rows[i] == nullptr) continue;
          const uint8_t* p = key_rows[i] + d * kElementBytes;
          block[i] = rest >= 16 ? LoadSixteen<D>(p) : WeightBlock<V, D>::Tail(p, rest);
        }
        V::Transpose(block);
        for (int i = 0; i < 16; ++i) V::Store(keys_ + (d + i) * kAttentionTile + group, block[i]);
      }
    }
  }

  template <DType D>
  static F LoadSixteen(const uint8_t* p) {
    WeightBlock<V, D> block;
    block.Load(p);
    return block.Part(0);
  }

  int64_t TokenOffset(int position) const {
    const int64_t block = task_.block_table[position / task_.block_size];
    return (block * task_.block_size + position % task_.block_size) * task_.token_bytes;
  }

  // Folds the tile's scores and values into the running sums. Neighbouring queries that see the
  // same keys share the product with the values.
  void AddTile(int tile_begin) {
    int query = 0;
    while (query < task_.num_queries) {
      const Visible visible = VisibleKeys(query, tile_begin);
      int next = query + 1;
      while (next < task_.num_queries && VisibleKeys(next, tile_begin) == visible) ++next;
      if (visible.begin < visible.end) {
        const int row = query * task_.heads_per_group;
        const int num_rows = (next - query) * task_.heads_per_group;
        for (int r = row; r < row + num_rows; ++r) SoftmaxRow(r, visible);
        WeightedSum<V>({.num_rows = num_rows,
                        .width = width_,
                        .a = scores_ + row * kAttentionTile,
                        .a_stride = kAttentionTile,
                        .b = values_,
                        .b_stride = width_,
                        .begin = visible.begin,
                        .end = visible.end,
                        .decay = decay_ + row,
                        .c = sums_ + row * width_,
                        .c_stride = width_});
      }
      query = next;
    }
  }

  // Scores become weights relative to the new maximum; decay_ is what older sums are worth now.
  void SoftmaxRow(int row, Visible visible) {
    float* scores = scores_ + row * kAttentionTile;
    for (int j = 0; j < visible.begin; ++j) scores[j] = -__builtin_inff();
    for (int j = visible.end; j < kAttentionTile; ++j) scores[j] = -__builtin_inff();
    F max = V::Set(max_[row]);
    for (int j = 0; j < kAttentionTile; j += 16) max = V::Max(max, V::Load(scores + j));
    const float new_max = V::MaxLane(max);
    F total = V::Zero();
    for (int j = 0; j < kAttentionTile; j += 16) {
      const F weights = Exp<V>(V::Sub(V::Load(scores + j), V::Set(new_max)));
      V::Store(scores + j, weights);
      total = V::Add(total, weights);
    }
    float decay[16];
    V::Store(decay, Exp<V>(V::Set(max_[row] - new_max)));
    decay_[row] = decay[0];
    total_[row] = total_[row] * decay[0] + V::Sum(total);
    max_[row] = new_max;
  }

  void StoreOutput() {
    for (int row = 0; row < num_rows_; ++row) {
      float* out = task_.out + row / task_.heads_per_group * task_.query_stride +
                   row % task_.heads_per_group * task_.head_dim;
      for (int d = 0; d < task_.head_dim; ++d) out[d] = sums_[row * width_ + d] / total_[row];
    }
  }

  const AttentionTask& task_;
  const int num_rows_;   // query rows x heads of the group
  const int64_t width_;  // head_dim rounded up to whole vectors
  float* keys_;          // [width, kAttentionTile]
  float* values_;        // [kAttentionTile, width]
  float* q_;             // [num_rows, width], scaled
  float* sums_;          // [num_rows, width]: sum of weight * value
  float* scores_;        // [num_rows, kAttentionTile]
  float* max_;           // [num_rows]: greatest score so far
  float* total_;         // [num_rows]: sum of weights
  float* decay_;         // [num_rows]
};

template <typename V>
void Attention(const AttentionTask& task) {
  AttentionKernel<V>(task).Run();
}

}  // namespace tandem
