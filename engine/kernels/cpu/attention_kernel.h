// Causal attention over paged K and V with a running softmax (Milakov and Gimelshein 2018, "Online
// normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention", algorithm 1).
//
// Keys are met in tiles of kAttentionTile positions, and tiles in spans of kAttentionSpan, both
// counted from position 0. What happens to a query depends on its own position only: each score is
// one chain over head_dim; over the tiles of a span runs one chain per output through the visible
// keys in order; and spans, each begun anew, are folded together in order. So a query's output has
// the same bits in any chunk, and whether one thread computes all spans or each its own.
#pragma once

#include <cstdint>

#include "engine/kernels/cpu/attention_tile.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/vector_math.h"

namespace tandem {

// What a query has gathered: [width] sums of weight * value, 16 lanes of sums of weights, and the
// greatest score, relative to which weights are.
template <typename V>
struct AttentionState {
  float* data;
  int64_t width;

  float* sums() const { return data; }
  float* totals() const { return data + width; }
  float& max() const { return data[width + 16]; }

  void Reset() const {
    for (int64_t i = 0; i < width + 16; ++i) data[i] = 0.0f;
    max() = -__builtin_inff();
  }
  void CopyFrom(const AttentionState& other) const {
    __builtin_memcpy(data, other.data, AttentionStateFloats(width) * sizeof(float));
  }
  // Takes in what was gathered from later keys.
  void Fold(const AttentionState& later) const {
    using F = typename V::F;
    const float new_max = V::MaxLane(V::Max(V::Set(max()), V::Set(later.max())));
    const F ours = Exp2OfNegative<V>(V::Set(max() - new_max));
    const F theirs = Exp2OfNegative<V>(V::Set(later.max() - new_max));
    for (int64_t i = 0; i < width + 16; i += 16) {
      const F scaled = V::Mul(V::Load(data + i), ours);
      V::Store(data + i, V::MulAdd(V::Load(later.data + i), theirs, scaled));
    }
    max() = new_max;
  }
  // out: [head_dim]
  void Finish(int64_t head_dim, float* out) const {
    const typename V::F total = V::Set(V::Sum(V::Load(totals())));
    int64_t d = 0;
    for (; d + 16 <= head_dim; d += 16) V::Store(out + d, V::Div(V::Load(data + d), total));
    if (d < head_dim) V::StorePartial(out + d, head_dim - d, V::Div(V::Load(data + d), total));
  }
};

// One task at work: its scratch memory and what stays the same over its tiles.
template <typename V, DType D>
class AttentionKernel {
 public:
  explicit AttentionKernel(const AttentionTask& task)
      : task_(task),
        num_rows_(task.num_queries * task.heads_per_group),
        width_(PaddedHeadDim(task.head_dim)),
        decode_tiles_(num_rows_ > kMostFewRows || task.head_dim != width_) {
    float* p = task.scratch;
    const auto take = [&p](int64_t floats) { return p += floats, p - floats; };
    keys_ = take(kAttentionTile * width_);
    values_ = take(kAttentionTile * width_);
    const int64_t all_rows = int64_t{task.num_kv_heads} * num_rows_;
    all_queries_ = take(all_rows * width_);
    all_states_ = take(all_rows * AttentionStateFloats(width_));
    all_folded_ = task.span_states != nullptr ? task.span_states
                                              : take(all_rows * AttentionStateFloats(width_));
    scores_ = take(kAttentionRowBlock * kAttentionTile);
  }

  void Run() {
    ForEachHead([&] { LoadQueries(); });
    const int first = VisibleBegin(task_.position_begin);
    const int last = task_.position_begin + task_.num_queries - 1;
    const int first_span = Larger(task_.span_begin, first / kAttentionSpan);
    for (int span = first_span; span < task_.span_end; ++span) {
      const int span_begin = span * kAttentionSpan;
      if (span_begin > last) break;
      const Range rows = RowsThatSee(span_begin, kAttentionSpan);
      ForEachHead([&] {
        for (int row = rows.begin; row < rows.end; ++row) State(row).Reset();
      });
      const int end = Smaller(span_begin + kAttentionSpan, last + 1);
      const int first_tile = Larger(span_begin, first / kAttentionTile * kAttentionTile);
      for (int tile = first_tile; tile < end; tile += kAttentionTile) {
        LocateKeys(tile, first, last + 1);
        if (!decode_tiles_) FetchTile();
        ForEachHead([&] {
          LoadTile();
          AddTile(tile);
        });
      }
      ForEachHead([&] { EndSpan(span, rows); });
    }
    if (task_.span_states == nullptr) ForEachHead([&] { StoreOutput(); });
  }

 private:
  using F = typename V::F;
  static constexpr int kMostFewRows = 2 * V::kFewRows;

  struct Range {
    int begin, end;
  };

  // With q_, states_, folded_ and head_ set.
  template <typename Visit>
  void ForEachHead(Visit visit) {
    for (head_ = 0; head_ < task_.num_kv_heads; ++head_) {
      q_ = all_queries_ + head_ * num_rows_ * width_;
      states_ = all_states_ + head_ * num_rows_ * AttentionStateFloats(width_);
      folded_ = all_folded_ + head_ * num_rows_ * AttentionStateFloats(width_);
      visit();
    }
  }

  static int Smaller(int a, int b) { return a < b ? a : b; }
  static int Larger(int a, int b) { return a > b ? a : b; }

  AttentionState<V> State(int row) const {
    return {states_ + row * AttentionStateFloats(width_), width_};
  }
  AttentionState<V> Folded(int row) const {
    return {folded_ + row * AttentionStateFloats(width_), width_};
  }

  int VisibleBegin(int position) const { return FirstVisible(position, task_.window); }

  // Keys of a tile that a row sees, counted from the tile's start. Neither end falls from a row to
  // the next.
  Range VisibleKeys(int row, int tile_begin) const {
    const int position = task_.position_begin + row / task_.heads_per_group;
    return {Larger(VisibleBegin(position) - tile_begin, 0),
            Smaller(position + 1 - tile_begin, kAttentionTile)};
  }

  // Rows that see any of the positions [begin, begin + size).
  Range RowsThatSee(int begin, int size) const {
    const int first = Larger(begin - task_.position_begin, 0);
    const int64_t last_seeing = int64_t{begin} + size + task_.window - 1 - task_.position_begin;
    const int end = task_.window > 0 && last_seeing < task_.num_queries
                        ? static_cast<int>(last_seeing)
                        : task_.num_queries;
    return {first * task_.heads_per_group, end * task_.heads_per_group};
  }

  // Scores are to base 2, whose powers are cheaper.
  void LoadQueries() {
    const float scale = task_.scale * 1.44269504f;
    for (int row = 0; row < num_rows_; ++row) {
      const float* q = task_.q + ActivationOffset(row);
      for (int d = 0; d < task_.head_dim; ++d) q_[row * width_ + d] = q[d] * scale;
    }
  }

  // Where the tile's keys and values lie, block by block, as far as they are among positions
  // [begin, end).
  void LocateKeys(int tile_begin, int begin, int end) {
    first_key_ = Larger(begin - tile_begin, 0) / 16 * 16;
    num_keys_ = Smaller(end - tile_begin, kAttentionTile);
    int block = (tile_begin + first_key_) / task_.block_size;
    int in_block = (tile_begin + first_key_) % task_.block_size;
    int key = first_key_;
    while (key < num_keys_) {
      const int64_t slot = int64_t{task_.block_table[block++]} * task_.block_size + in_block;
      int64_t offset = slot * task_.token_bytes;
      const int block_end = Smaller(key + task_.block_size - in_block, num_keys_);
      for (; key < block_end; ++key, offset += task_.token_bytes) offsets_[key] = offset;
      in_block = 0;
    }
    // The last key stands in for those that do not exist, of which no score is used.
    for (; key % 16 != 0; ++key) offsets_[key] = offsets_[num_keys_ - 1];
  }

  // Reads a byte of every cache line of the tile, in the order in which they lie: with few rows
  // memory is what takes the time, and hardware fetches ahead of plain reads in a row (twice as
  // fast as of reads where they are used, or of prefetch instructions).
  void FetchTile() const {
    const int64_t bytes = task_.num_kv_heads * task_.head_bytes;
    for (const uint8_t* pool : {task_.keys, task_.values}) {
      for (int key = first_key_; key < num_keys_; ++key) {
        const volatile uint8_t* p = pool + offsets_[key];
        for (int64_t i = 0; i < bytes; i += 64) (void)p[i];
      }
    }
  }

  // Makes the tile's keys and values of a head ready: keys transposed, so that 16 scores are
  // computed side by side, and values where they lie; for many rows as floats.
  void LoadTile() {
    const uint8_t* const keys = task_.keys + head_ * task_.head_bytes;
    const uint8_t* const values = task_.values + head_ * task_.head_bytes;
    for (int group = first_key_; group < num_keys_; group += 16) {
      const uint8_t* key_rows[16];
      for (int i = 0; i < 16; ++i) {
        key_rows[i] = keys + offsets_[group + i];
        value_rows_[group + i] = values + offsets_[group + i];
        if constexpr (D == DType::kI8) {
          __builtin_memcpy(key_scales_ + group + i, key_rows[i] + task_.head_dim, sizeof(float));
          __builtin_memcpy(value_scales_ + group + i, value_rows_[group + i] + task_.head_dim,
                           sizeof(float));
        }
      }
      TransposeKeys<V, D>(key_rows, task_.head_dim, KeyGroup(group));
    }
    if (decode_tiles_) DecodeTile();
  }

  // Transposed keys as they are stored are spread as far apart as floats would be.
  uint8_t* KeyGroup(int group) const { return reinterpret_cast<uint8_t*>(keys_ + group * width_); }

  void DecodeTile() {
    for (int group = first_key_; group < num_keys_; group += 16) {
      if constexpr (D != DType::kF32) {
        const uint8_t* stored = KeyGroup(group);
        float* keys = keys_ + group * width_;
        for (int d = task_.head_dim - 1; d >= 0; --d) {  // in place
          V::Store(keys + d * 16, LoadSixteen<V, D>(stored + d * 16 * kKvElementBytes<D>));
        }
      }
    }
    for (int key = first_key_; key < num_keys_; ++key) {
      float* values = values_ + key * width_;
      DecodeHead<V, D>(value_rows_[key], task_.head_dim, values);
      for (int64_t d = task_.head_dim; d < width_; ++d) values[d] = 0.0f;
      value_rows_[key] = reinterpret_cast<const uint8_t*>(values);
    }
  }

  void AddTile(int tile_begin) {
    const Range rows = RowsThatSee(tile_begin, kAttentionTile);
    for (int row = rows.begin; row < rows.end; row += kAttentionRowBlock) {
      const int end = Smaller(row + kAttentionRowBlock, rows.end);
      // NOLINTNEXTLINE(bugprone-branch-clone): the same only for some types and vectors
      if (decode_tiles_) {
        AddBlock<DType::kF32, V::kManyRows, V::kManyVectors>(tile_begin, {row, end});
      } else {
        AddBlock<D, V::kFewRows, V::kFewVectors>(tile_begin, {row, end});
      }
    }
  }

  // Folds the tile's scores and values into the states of a block of rows. The tile holds elements
  // of type E.
  template <DType E, int kRows, int kVectors>
  void AddBlock(int tile_begin, Range rows) {
    const int begin = VisibleKeys(rows.begin, tile_begin).begin / 16 * 16;
    const int end = VisibleKeys(rows.end - 1, tile_begin).end;
    for (int row = rows.begin; row < rows.end; row += kRows) {
      const int count = Smaller(kRows, rows.end - row);
      WithRows<kRows>(count, [&]<int kCount>() {
        float* scores = scores_ + (row - rows.begin) * kAttentionTile;
        const float* q = q_ + row * width_;
        int group = begin;
        for (; group + 16 * (kVectors - 1) < end; group += 16 * kVectors) {
          ScoreTile<V, E, kCount, kVectors>(q, width_, task_.head_dim, KeyGroup(group),
                                            scores + group);
        }
        for (; group < end; group += 16) {
          ScoreTile<V, E, kCount, 1>(q, width_, task_.head_dim, KeyGroup(group), scores + group);
        }
      });
    }
    Softmax(tile_begin, rows);
    for (int row = rows.begin; row < rows.end; row += kRows) {
      AddValues<E, kRows, kVectors>(scores_ + (row - rows.begin) * kAttentionTile, tile_begin,
                                    {row, Smaller(row + kRows, rows.end)});
    }
  }

  // Scores become weights relative to the new maximum, and what was gathered before is made so.
  // First all maxima, then all weights: neither waits for the end of the row before.
  void Softmax(int tile_begin, Range rows) {
    float* scores = scores_;
    for (int row = rows.begin; row < rows.end; ++row, scores += kAttentionTile) {
      new_max_[row - rows.begin] = MaxScore(VisibleKeys(row, tile_begin), State(row).max(), scores);
    }
    scores = scores_;
    for (int row = rows.begin; row < rows.end; ++row, scores += kAttentionTile) {
      const AttentionState<V> state = State(row);
      const F new_max = V::Set(new_max_[row - rows.begin]);
      if (state.max() != new_max_[row - rows.begin]) {  // otherwise the factor is 1
        const F decay = Exp2OfNegative<V>(V::Sub(V::Set(state.max()), new_max));
        for (int64_t i = 0; i < width_ + 16; i += 16) {
          V::Store(state.data + i, V::Mul(V::Load(state.data + i), decay));
        }
        state.max() = new_max_[row - rows.begin];
      }
      const F total = MakeWeights(VisibleKeys(row, tile_begin), new_max, scores);
      V::Store(state.totals(), V::Add(V::Load(state.totals()), total));
    }
  }

  // Scales scores where keys have scales, and makes those of keys that are not seen -infinity.
  float MaxScore(Range visible, float old_max, float* scores) {
    const F lowest = V::Set(-__builtin_inff());
    F max = V::Set(old_max);
    for (int j = visible.begin / 16 * 16; j < visible.end; j += 16) {
      F x = V::Load(scores + j);
      const bool whole = j >= visible.begin && j + 16 <= visible.end;
      if constexpr (D == DType::kI8) x = V::Mul(x, V::Load(key_scales_ + j));
      if (!whole) {
        x = V::SelectLess(Lanes(), Set(visible.begin - j), lowest, x);
        x = V::SelectLess(Lanes(), Set(visible.end - j), x, lowest);
      }
      if (D == DType::kI8 || !whole) V::Store(scores + j, x);
      max = V::Max(max, x);
    }
    return V::MaxLane(max);
  }

  // Returns the sum of the weights, lane by lane; those of values that have scales include them.
  F MakeWeights(Range visible, F max, float* scores) {
    F total = V::Zero();
    for (int j = visible.begin / 16 * 16; j < visible.end; j += 16) {
      F weights = Exp2OfNegative<V>(V::Sub(V::Load(scores + j), max));
      total = V::Add(total, weights);
      if constexpr (D == DType::kI8) weights = V::Mul(weights, V::Load(value_scales_ + j));
      V::Store(scores + j, weights);
    }
    return total;
  }

  static F Lanes() {
    alignas(64) static constexpr float kLanes[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                     8, 9, 10, 11, 12, 13, 14, 15};
    return V::Load(kLanes);
  }
  static F Set(int x) { return V::Set(static_cast<float>(x)); }

  // Rows go together as far as all of them see the same keys, and each on its own before and after.
  template <DType E, int kRows, int kVectors>
  void AddValues(const float* weights, int tile_begin, Range rows) {
    const int shared_begin = VisibleKeys(rows.end - 1, tile_begin).begin;
    const int shared_end = VisibleKeys(rows.begin, tile_begin).end;
    const bool shares = shared_begin < shared_end;
    const auto each_alone = [&](auto range_of) {
      for (int row = rows.begin; row < rows.end; ++row) {
        const Range range = range_of(VisibleKeys(row, tile_begin));
        if (range.begin >= range.end) continue;
        ValueRows<E, 1, kVectors>(
            Values(weights + (row - rows.begin) * kAttentionTile, row, range));
      }
    };
    if (!shares) return each_alone([](Range visible) { return visible; });
    each_alone([&](Range visible) { return Range{visible.begin, shared_begin}; });
    WithRows<kRows>(rows.end - rows.begin, [&]<int kCount>() {
      ValueRows<E, kCount, kVectors>(Values(weights, rows.begin, {shared_begin, shared_end}));
    });
    each_alone([&](Range visible) { return Range{shared_end, visible.end}; });
  }

  ValueTileArgs Values(const float* weights, int row, Range keys) const {
    return {.weights = weights,
            .values = value_rows_,
            .begin = keys.begin,
            .end = keys.end,
            .sums = State(row).sums(),
            .sums_stride = AttentionStateFloats(width_)};
  }

  template <DType E, int kRows, int kVectors>
  void ValueRows(const ValueTileArgs& args) {
    int64_t column = 0;
    for (; column + 16 * kVectors <= width_; column += 16 * kVectors) {
      ValueTile<V, E, kRows, kVectors>(args, column);
    }
    for (; column < width_; column += 16) ValueTile<V, E, kRows, 1>(args, column);
  }

  void EndSpan(int span, Range rows) {
    for (int row = rows.begin; row < rows.end; ++row) {
      const int position = task_.position_begin + row / task_.heads_per_group;
      const bool first = VisibleBegin(position) / kAttentionSpan == span;
      if (first || task_.span_states != nullptr) {
        Folded(row).CopyFrom(State(row));
      } else {
        Folded(row).Fold(State(row));
      }
    }
  }

  void StoreOutput() {
    for (int row = 0; row < num_rows_; ++row) {
      Folded(row).Finish(task_.head_dim, task_.out + ActivationOffset(row));
    }
  }
  // Of a row in q and in out.
  int64_t ActivationOffset(int row) const {
    return int64_t{row} / task_.heads_per_group * task_.query_stride +
           (int64_t{head_} * task_.heads_per_group + row % task_.heads_per_group) * task_.head_dim;
  }

  const AttentionTask& task_;
  const int num_rows_;       // of one K/V head: query rows x heads of the group
  const int64_t width_;      // head_dim rounded up to whole vectors
  const bool decode_tiles_;  // to floats, because many rows use them
  float* keys_;              // [kAttentionTile / 16, width, 16], of floats or what is stored
  float* values_;            // [kAttentionTile, width]
  float* all_queries_;       // [num_kv_heads, num_rows, width], scaled
  float* all_states_;        // [num_kv_heads, num_rows, AttentionStateFloats]: of this span
  float* all_folded_;        // the same: of all spans so far
  float* scores_;            // [kAttentionRowBlock, kAttentionTile]

  // The tile at hand.
  int first_key_ = 0;  // a multiple of 16
  int num_keys_ = 0;
  int64_t offsets_[kAttentionTile];  // of its tokens in the pools

  // The head at hand.
  int head_ = 0;
  float* q_ = nullptr;
  float* states_ = nullptr;
  float* folded_ = nullptr;
  const uint8_t* value_rows_[kAttentionTile];
  float key_scales_[kAttentionTile];  // kI8 only
  float value_scales_[kAttentionTile];
  float new_max_[kAttentionRowBlock];  // of the rows at hand
};

template <typename V>
void Attention(const AttentionTask& task) {
  switch (task.dtype) {
    case DType::kF32:
      return AttentionKernel<V, DType::kF32>(task).Run();
    case DType::kF16:
      return AttentionKernel<V, DType::kF16>(task).Run();
    case DType::kBF16:
      return AttentionKernel<V, DType::kBF16>(task).Run();
    default:
      return AttentionKernel<V, DType::kI8>(task).Run();
  }
}

// Folds what the spans of a query gathered, as the task that has them all does.
template <typename V>
void MergeSpans(const AttentionMerge& merge) {
  const int64_t width = PaddedHeadDim(merge.head_dim);
  const auto state = [&](int span) {
    return AttentionState<V>{merge.states + (span - merge.span_begin) * merge.span_stride, width};
  };
  for (int span = merge.span_begin + 1; span < merge.span_end; ++span) {
    state(merge.span_begin).Fold(state(span));
  }
  state(merge.span_begin).Finish(merge.head_dim, merge.out);
}

}  // namespace tandem
