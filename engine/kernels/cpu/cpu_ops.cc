#include "engine/kernels/cpu/cpu_ops.h"

#include <algorithm>

#include "engine/core/divide_up.h"
#include "engine/core/kv_layout.h"
#include "engine/core/log.h"
#include "engine/kernels/cpu/pack_weights.h"

namespace tandem {
namespace {

// Elements of cheap work that are worth another thread: a few microseconds.
constexpr int64_t kElementsPerTask = 16384;

// Decoded weights that serve many rows: 256 KiB, a quarter of the smallest L2 that servers have.
constexpr int64_t kPanelFloats = 64 * 1024;
constexpr int64_t kMinPanelRows = 8;

// Rows of quantised activations that weights pass at a time: 300 KiB at 1,152 columns, so that they
// stay in L2.
constexpr int64_t kRowBlock = 256;

// Heads whose spans are merged by one task: a few microseconds at ten spans.
constexpr int64_t kMergesPerTask = 16;

int64_t PaddedColumns(int64_t cols) { return DivideUp(cols, kPairColumns) * kPairColumns; }

}  // namespace

CpuOps::CpuOps(Isa isa, const KernelTable& kernels, bool quantize_activations,
               std::unique_ptr<ThreadPool> pool)
    : isa_(isa),
      quantize_activations_(quantize_activations),
      kernels_(kernels),
      pool_(std::move(pool)),
      scratch_(pool_->num_threads()),
      panels_(pool_->num_threads()) {}

template <typename Visit>
void CpuOps::Split(int64_t size, int64_t grain, Visit visit) {
  if (size == 0) return;
  // More parts than threads, so that a thread that another instance holds up costs less.
  const int num_threads = pool_->num_threads();
  const int64_t most_parts = num_threads > 1 ? 4 * num_threads : 1;
  const int64_t num_parts = std::min(most_parts, DivideUp(size, grain));
  const int64_t part = DivideUp(DivideUp(size, num_parts), grain) * grain;
  pool_->ParallelFor(DivideUp(size, part), [&](int64_t i, int thread) {
    visit(i * part, std::min(part, size - i * part), thread);
  });
}

float* CpuOps::Scratch(int thread, int64_t floats) {
  scratch_[thread].Reserve(floats);
  return scratch_[thread].data();
}

void CpuOps::Embed(const MatrixView& table, absl::Span<const TokenId> ids, float scale,
                   float* out) {
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK(ids[i] >= 0 && ids[i] < table.rows) << "token " << ids[i] << " of " << table.rows;
    kernels_.embed_row(table.dtype, table.Row(ids[i]), table.cols, scale, out + i * table.cols);
  }
}

// NOLINTNEXTLINE(readability-function-size): two matrices' shapes and a formula's terms
void CpuOps::RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t cols,
                     float* out) {
  const int64_t grain = DivideUp(kElementsPerTask, cols);
  Split(rows, grain, [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; ++i) {
      kernels_.rms_norm(x + i * cols, weight, epsilon, cols, out + i * cols);
    }
  });
}

FloatLayout CpuOps::LayoutOf(DType dtype) const {
  const bool in_pairs = dtype == DType::kBF16 && kernels_.bfloat16_matmul != nullptr;
  return in_pairs ? FloatLayout::kPairs : FloatLayout::kColumns;
}

int64_t CpuOps::PackedBytes(const MatrixView& w) const {
  // Integers and pairs of BF16 multiply rounded activations.
  const bool rounds =
      GetDTypeInfo(w.dtype).block_size > 1 || LayoutOf(w.dtype) == FloatLayout::kPairs;
  return rounds && !quantize_activations_ ? 0 : tandem::PackedBytes(w, LayoutOf(w.dtype));
}

MatrixView CpuOps::Pack(const MatrixView& w, uint8_t* out) {
  MatrixView packed = w;
  packed.packed = out;
  packed.packed_unit = PackedUnit(w);
  Split(DivideUp(w.rows, kGroupRows), 1, [&](int64_t begin, int64_t count, int) {
    PackGroups(packed, LayoutOf(w.dtype), begin, begin + count, out);
  });
  return packed;
}

void CpuOps::MatMul(const float* x, int64_t rows, absl::Span<const Product> products,
                    Precision precision) {
  int64_t quantized_cols = 0, bfloat16_cols = 0;
  bool any_packed = false;
  for (const Product& product : products) {
    if (product.w.packed == nullptr) {
      StoredMatMul(x, rows, product);
      continue;
    }
    any_packed = true;
    if (GetDTypeInfo(product.w.dtype).block_size > 1) {
      quantized_cols = product.w.cols;
    } else if (LayoutOf(product.w.dtype) == FloatLayout::kPairs) {
      bfloat16_cols = product.w.cols;
    }
  }
  const int planes = precision == Precision::kHigh ? 2 : 1;
  if (quantized_cols > 0) Quantize(x, rows, quantized_cols, planes);
  if (bfloat16_cols > 0) RoundToBFloat16(x, rows, bfloat16_cols);
  if (any_packed) PackedMatMul({.x = x, .rows = rows, .planes = planes}, products);
}

void CpuOps::Quantize(const float* x, int64_t rows, int64_t cols, int planes) {
  const int64_t num_blocks = cols / kQuantBlock;
  quants_.Reserve(rows * planes * cols);
  block_scales_.Reserve(rows * num_blocks);
  Split(rows, DivideUp(kElementsPerTask, cols), [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; ++i) {
      kernels_.quantize_row(x + i * cols, cols, planes, quants_.data() + i * planes * cols,
                            block_scales_.data() + i * num_blocks);
    }
  });
}

void CpuOps::RoundToBFloat16(const float* x, int64_t rows, int64_t cols) {
  const int64_t padded_cols = PaddedColumns(cols);
  rounded_.Reserve(rows * padded_cols);
  Split(rows, DivideUp(kElementsPerTask, cols), [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; ++i) {
      uint16_t* out = rounded_.data() + i * padded_cols;
      kernels_.store_heads(x + i * cols, 1, cols, DType::kBF16, reinterpret_cast<uint8_t*>(out));
      std::fill(out + cols, out + padded_cols, 0);
    }
  });
}

void CpuOps::PackedMatMul(PackedShare whole, absl::Span<const Product> products) {
  int64_t num_groups = 0;
  for (const Product& product : products) {
    if (product.w.packed != nullptr) num_groups += DivideUp(product.w.rows, kGroupRows);
  }
  // Groups of all products are numbered through.
  Split(num_groups, 1, [&](int64_t begin, int64_t count, int thread) {
    int64_t first = 0;  // of this product
    for (const Product& product : products) {
      if (product.w.packed == nullptr) continue;
      const int64_t groups = DivideUp(product.w.rows, kGroupRows);
      PackedShare part = whole;
      part.begin = std::max<int64_t>(begin - first, 0);
      part.end = std::min(begin + count - first, groups);
      part.thread = thread;
      first += groups;
      if (part.begin >= part.end) continue;
      if (GetDTypeInfo(product.w.dtype).block_size > 1) {
        QuantizedGroups(product, part);
      } else if (LayoutOf(product.w.dtype) == FloatLayout::kPairs) {
        BFloat16Groups(product, part);
      } else {
        FloatGroups(product, part);
      }
    }
  });
}

void CpuOps::QuantizedGroups(const Product& product, const PackedShare& share) {
  const MatrixView& w = product.w;
  QuantizedMatMulArgs args;
  args.planes = share.planes;
  args.packed = w.packed;
  args.unit = w.packed_unit;
  args.dtype = w.dtype;
  args.num_weights = w.rows;
  args.cols = w.cols;
  args.out_stride = w.rows;
  args.bias = product.bias;
  args.panel = &panels_[share.thread];
  args.edge = Scratch(share.thread, kRowBlock * kGroupRows);
  for (int64_t row = 0; row < share.rows; row += kRowBlock) {
    args.num_rows = std::min(kRowBlock, share.rows - row);
    args.quants = quants_.data() + row * share.planes * w.cols;
    args.scales = block_scales_.data() + row * (w.cols / kQuantBlock);
    args.out = product.out + row * w.rows;
    kernels_.quantized_matmul(args, share.begin, share.end);
  }
}

void CpuOps::BFloat16Groups(const Product& product, const PackedShare& share) {
  const MatrixView& w = product.w;
  BFloat16MatMulArgs args;
  args.packed = reinterpret_cast<const uint16_t*>(w.packed);
  args.num_weights = w.rows;
  args.cols = PaddedColumns(w.cols);
  args.out_stride = w.rows;
  args.bias = product.bias;
  for (int64_t row = 0; row < share.rows; row += kRowBlock) {
    args.num_rows = std::min(kRowBlock, share.rows - row);
    args.x = rounded_.data() + row * args.cols;
    args.out = product.out + row * w.rows;
    kernels_.bfloat16_matmul(args, share.begin, share.end);
  }
}

void CpuOps::FloatGroups(const Product& product, const PackedShare& share) {
  const MatrixView& w = product.w;
  FloatMatMulArgs args;
  args.x = share.x;
  args.num_rows = share.rows;
  args.packed = w.packed;
  args.dtype = w.dtype;
  args.num_weights = w.rows;
  args.cols = w.cols;
  args.out_stride = w.rows;
  args.bias = product.bias;
  args.out = product.out;
  args.panel = Scratch(share.thread, kFloatPanelFloats);
  kernels_.float_matmul(args, share.begin, share.end);
}

void CpuOps::StoredMatMul(const float* x, int64_t rows, const Product& product) {
  const MatrixView& w = product.w;
  CHECK(w.cols % GetDTypeInfo(w.dtype).block_size == 0) << w.cols << " columns";
  const int64_t padded_cols = DivideUp(w.cols, 16) * 16;
  MatMulArgs shared;
  shared.x = x;
  shared.num_rows = rows;
  shared.weights = static_cast<const uint8_t*>(w.data);
  shared.row_bytes = w.RowBytes();
  shared.dtype = w.dtype;
  shared.cols = w.cols;
  shared.out_stride = w.rows;
  shared.bias = product.bias;
  shared.out = product.out;
  shared.panel_floats = std::max(kPanelFloats, kMinPanelRows * padded_cols);
  // 16 weight rows are whole register tiles on every instruction set and a cache line of output.
  Split(w.rows, 16, [&](int64_t begin, int64_t count, int thread) {
    MatMulArgs args = shared;
    args.panel = Scratch(thread, args.panel_floats);
    kernels_.matmul(args, begin, begin + count);
  });
}

void CpuOps::Rope(const RopeTable& table, absl::Span<const int> positions, int num_heads,
                  int head_dim, float* x) {
  const int64_t half = table.rotary_dim / 2;
  const int64_t width = int64_t{num_heads} * head_dim;
  CHECK(table.rotary_dim <= head_dim) << table.rotary_dim << " of " << head_dim;
  Split(positions.size(), DivideUp(kElementsPerTask, width),
        [&](int64_t begin, int64_t count, int) {
          for (int64_t i = begin; i < begin + count; ++i) {
            const int64_t angle = positions[i] * half;
            CHECK(angle >= 0 && angle + half <= static_cast<int64_t>(table.cos.size()))
                << "position " << positions[i] << " is beyond the rope table";
            kernels_.rope({.cos = table.cos.data() + angle,
                           .sin = table.sin.data() + angle,
                           .pairs = table.pairs,
                           .rotary_dim = table.rotary_dim,
                           .num_heads = num_heads,
                           .head_dim = head_dim,
                           .x = x + i * width});
          }
        });
}

void CpuOps::StoreKv(const float* k, const float* v, absl::Span<const int64_t> slots,
                     const LayerKv& kv) {
  const int64_t width = int64_t{kv.num_kv_heads} * kv.head_dim;
  const int64_t token_bytes = KvHeadBytes(kv.dtype, kv.head_dim) * kv.num_kv_heads;
  uint8_t* const keys = static_cast<uint8_t*>(kv.keys);
  uint8_t* const values = static_cast<uint8_t*>(kv.values);
  Split(slots.size(), DivideUp(kElementsPerTask, width), [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; ++i) {
      const int64_t offset = slots[i] * token_bytes;
      kernels_.store_heads(k + i * width, kv.num_kv_heads, kv.head_dim, kv.dtype, keys + offset);
      kernels_.store_heads(v + i * width, kv.num_kv_heads, kv.head_dim, kv.dtype, values + offset);
    }
  });
}

void CpuOps::Attention(const AttentionArgs& args, absl::Span<const AttentionRow> rows) {
  const LayerKv& kv = args.kv;
  CHECK(args.num_heads % kv.num_kv_heads == 0) << args.num_heads << " heads";
  CHECK(IsKvDType(kv.dtype)) << GetDTypeInfo(kv.dtype).name;
  attention_plan_.Build(args, rows, pool_->num_threads());
  const absl::Span<AttentionTask> tasks = attention_plan_.tasks();
  pool_->ParallelFor(tasks.size(), [&](int64_t i, int thread) {
    tasks[i].scratch = Scratch(thread, attention_plan_.scratch_floats());
    kernels_.attention(tasks[i]);
  });
  const absl::Span<const AttentionMerge> merges = attention_plan_.merges();
  Split(merges.size(), kMergesPerTask, [&](int64_t begin, int64_t count, int) {
    for (int64_t i = begin; i < begin + count; ++i) kernels_.merge_spans(merges[i]);
  });
}

void CpuOps::GatedActivation(Activation activation, const float* gate, const float* up,
                             int64_t size, float* out) {
  Split(size, kElementsPerTask, [&](int64_t begin, int64_t count, int) {
    kernels_.gated_activation(activation, gate + begin, up + begin, count, out + begin);
  });
}

void CpuOps::Add(const float* y, int64_t size, float* x) {
  Split(size, kElementsPerTask,
        [&](int64_t begin, int64_t count, int) { kernels_.add(y + begin, count, x + begin); });
}

void CpuOps::Softcap(float cap, int64_t size, float* x) {
  Split(size, kElementsPerTask,
        [&](int64_t begin, int64_t count, int) { kernels_.softcap(cap, count, x + begin); });
}

}  // namespace tandem
