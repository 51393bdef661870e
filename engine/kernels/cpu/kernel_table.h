// What one instruction set implements: plain functions over plain pointers. CpuOps spreads them
// over threads; each call here is one thread's share.
//
// Files compiled for an instruction set (kernels_*.cc) include only headers of this folder that are
// templates over its vector type, and no inline function of anyone else's: the linker keeps one
// copy of an inline function, and it must not be the one that only a newer CPU can run.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"
#include "engine/core/ids.h"
#include "engine/core/model_config.h"
#include "engine/kernels/cpu/packed_weights.h"

namespace tandem {

// out[i, n] = sum_k x[i, k] * weights[n, k] + bias[n].
struct MatMulArgs {
  const float* x = nullptr;  // [num_rows, cols]
  int64_t num_rows = 0;
  const uint8_t* weights = nullptr;  // rows of row_bytes, stored as dtype
  int64_t row_bytes = 0;
  DType dtype = DType::kF32;
  int64_t cols = 0;
  int64_t out_stride = 0;       // rows of the whole weight
  const float* bias = nullptr;  // or null
  float* out = nullptr;         // [num_rows, out_stride]

  float* panel = nullptr;  // this thread's scratch for decoded weights
  int64_t panel_floats = 0;
};

// The same with quantised activations and packed weights; see quantized_matmul.h.
struct QuantizedMatMulArgs {
  const int8_t* quants = nullptr;      // [num_rows, planes, cols]; see QuantizeRowTo
  const BlockScale* scales = nullptr;  // [num_rows, cols / 32]
  int planes = 1;                      // 1: 8 bits of precision, 2: 15
  int64_t num_rows = 0;
  const uint8_t* packed = nullptr;  // the whole weight
  float unit = 1.0f;
  DType dtype = DType::kF32;
  int64_t num_weights = 0;  // rows of the weight
  int64_t cols = 0;
  int64_t out_stride = 0;
  const float* bias = nullptr;  // or null
  float* out = nullptr;         // [num_rows, out_stride]

  QuantPanel* panel = nullptr;  // this thread's scratch
  float* edge = nullptr;        // this thread's scratch, [num_rows, 16]
};

// The same with packed BF16 weights and activations rounded to BF16.
struct BFloat16MatMulArgs {
  const uint16_t* x = nullptr;       // [num_rows, cols]
  int64_t num_rows = 0;              // at least 1
  const uint16_t* packed = nullptr;  // the whole weight
  int64_t num_weights = 0;           // rows of the weight
  int64_t cols = 0;                  // filled up with zeros to a multiple of kPairColumns
  int64_t out_stride = 0;
  const float* bias = nullptr;  // or null
  float* out = nullptr;         // [num_rows, out_stride]
};

// The same with packed F32, F16 or BF16 weights, in float32; see float_matmul.h.
struct FloatMatMulArgs {
  const float* x = nullptr;         // [num_rows, cols]
  int64_t num_rows = 0;             // at least 1
  const uint8_t* packed = nullptr;  // the whole weight
  DType dtype = DType::kF32;
  int64_t num_weights = 0;  // rows of the weight
  int64_t cols = 0;
  int64_t out_stride = 0;
  const float* bias = nullptr;  // or null
  float* out = nullptr;         // [num_rows, out_stride]

  float* panel = nullptr;  // this thread's scratch, kFloatPanelFloats
};

// Columns whose weights are widened to floats at a time, 16 KiB of a group, and rows of x that pass
// them, 128 KiB of so many columns.
inline constexpr int64_t kFloatStretch = 640;
inline constexpr int64_t kFloatRowBlock = 128;
inline constexpr int64_t kFloatPanelFloats = 2 * kFloatStretch * kGroupRows;

// The heads of one row, rotated in place.
struct RopeArgs {
  const float* cos = nullptr;  // [rotary_dim / 2]
  const float* sin = nullptr;
  RopePairs pairs = RopePairs::kHalves;
  int rotary_dim = 0;
  int num_heads = 0;
  int head_dim = 0;
  float* x = nullptr;  // [num_heads, head_dim]
};

// Keys that are scored together, and keys whose weights are summed up apart from others': each a
// multiple of the former, counted from position 0, so that a query meets the same tiles and spans
// whichever chunk it comes in. 64 keys of 64 floats and as many values fill a 32 KiB L1 once. Spans
// are what threads share out when few sequences are long.
inline constexpr int kAttentionTile = 64;
inline constexpr int kAttentionSpan = 512;

// Rows whose scores with a tile are kept at a time: 12 KiB of them.
inline constexpr int kAttentionRowBlock = 48;
// The first position that a query at `position` sees; window 0: none.
[[gnu::always_inline]] constexpr int FirstVisible(int position, int window) {
  return window > 0 && position >= window ? position - window + 1 : 0;
}

[[gnu::always_inline]] constexpr int64_t PaddedHeadDim(int64_t head_dim) {
  return (head_dim + 15) / 16 * 16;
}

// Floats of what one query gathers over a span; see AttentionState.
[[gnu::always_inline]] constexpr int64_t AttentionStateFloats(int64_t padded_head_dim) {
  return padded_head_dim + 32;
}

// Query rows of one sequence that share a K/V head, or several such heads, adjacent in memory.
struct AttentionTask {
  const float* q = nullptr;  // first query, first head of the group
  float* out = nullptr;      // same place of the output
  int num_queries = 0;
  int query_stride = 0;     // floats from one query to the next
  int heads_per_group = 0;  // query heads that read one K/V head, adjacent in memory
  int num_kv_heads = 1;
  int head_dim = 0;
  int position_begin = 0;  // of the first query
  int window = 0;          // 0: none
  float scale = 1.0f;

  const uint8_t* keys = nullptr;  // the first K/V head in slot 0 of block 0
  const uint8_t* values = nullptr;
  DType dtype = DType::kF16;
  int64_t head_bytes = 0;   // from one head to the next
  int64_t token_bytes = 0;  // from one slot to the next
  int block_size = 0;
  const BlockId* block_table = nullptr;

  // Keys that are attended to: of all spans, or where span_states is given of one, and then the
  // rows' states go there, [num_kv_heads, num_queries * heads_per_group, AttentionStateFloats],
  // instead of `out`.
  int span_begin = 0;
  int span_end = 1 << 30;
  float* span_states = nullptr;

  float* scratch = nullptr;  // AttentionScratchFloats
};

// Floats of scratch for one task of num_kv_heads * num_queries * heads_per_group rows.
constexpr int64_t AttentionScratchFloats(int64_t num_rows, int64_t head_dim) {
  const int64_t width = PaddedHeadDim(head_dim);
  return 2 * kAttentionTile * width + num_rows * (width + 2 * AttentionStateFloats(width)) +
         kAttentionRowBlock * kAttentionTile;
}

// States of one query's spans [span_begin, span_end), all that it sees; the first is overwritten.
struct AttentionMerge {
  float* states = nullptr;
  int64_t span_stride = 0;  // floats
  int span_begin = 0;
  int span_end = 0;
  int head_dim = 0;
  float* out = nullptr;  // [head_dim]
};

struct KernelTable {
  // Rows [begin, end) of the weight; the panel holds at least 8 rows of cols rounded up to 16.
  void (*matmul)(const MatMulArgs& args, int64_t begin, int64_t end);
  // One row of `cols` activations to quants [planes * cols], in the order that quantized_matmul
  // reads, and scales [cols / 32].
  void (*quantize_row)(const float* x, int64_t cols, int planes, int8_t* quants,
                       BlockScale* scales);
  // Groups [begin, end) of 16 rows of the weight.
  void (*quantized_matmul)(const QuantizedMatMulArgs& args, int64_t begin, int64_t end);
  // The same for packed BF16 weights in pairs; null where BF16 weights are multiplied as floats.
  void (*bfloat16_matmul)(const BFloat16MatMulArgs& args, int64_t begin, int64_t end);
  // The same for weights packed by columns.
  void (*float_matmul)(const FloatMatMulArgs& args, int64_t begin, int64_t end);
  // One row of `cols` weights as floats, times scale.
  void (*embed_row)(DType dtype, const uint8_t* row, int64_t cols, float scale, float* out);
  // One row of `cols`.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t cols, float* out);
  void (*rope)(const RopeArgs& args);
  // x: [num_heads, head_dim] of one token, to what KvHeadBytes says a head of K or V is stored as.
  void (*store_heads)(const float* x, int num_heads, int head_dim, DType dtype, uint8_t* out);
  void (*attention)(const AttentionTask& task);
  void (*merge_spans)(const AttentionMerge& merge);
  void (*gated_activation)(Activation activation, const float* gate, const float* up, int64_t size,
                           float* out);
  void (*add)(const float* y, int64_t size, float* x);
  void (*softcap)(float cap, int64_t size, float* x);

  // What the instruction set can do at best; see probe_kernel.h.
  float (*probe_read)(const uint8_t* bytes, int64_t size);
  int64_t (*probe_floats)(int64_t rounds, float* sink);
  int64_t (*probe_integers)(int64_t rounds, int weight_bits, float* sink);
};

// Null where the compiler's target has no such instruction set. Called only on CPUs that have it.
const KernelTable* PortableKernels();
const KernelTable* Avx2Kernels();
const KernelTable* Avx512Kernels();
const KernelTable* Avx512Bf16Kernels();
const KernelTable* AmxKernels();

}  // namespace tandem
