#include "engine/kernels/cpu/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/core/kv_layout.h"
#include "engine/core/log.h"
#include "engine/kernels/cpu/dequantize.h"
#include "engine/tensor/float16.h"

namespace tandem {
namespace {

// Element d of head `head`, counted through the slots, of a pool of K or V.
double LoadElement(const LayerKv& kv, const void* pool, int64_t head, int64_t d) {
  const uint8_t* p = static_cast<const uint8_t*>(pool) + head * KvHeadBytes(kv.dtype, kv.head_dim);
  if (kv.dtype == DType::kF32) return reinterpret_cast<const float*>(p)[d];
  if (kv.dtype == DType::kI8) {
    float scale;
    std::memcpy(&scale, p + kv.head_dim, sizeof(scale));
    return double{scale} * reinterpret_cast<const int8_t*>(p)[d];
  }
  const uint16_t bits = reinterpret_cast<const uint16_t*>(p)[d];
  return kv.dtype == DType::kF16 ? FloatFromHalf(bits) : FloatFromBFloat16(bits);
}

void StoreQuantised(const float* x, int size, uint8_t* out) {
  float max = 0, scale_check = 0;
  for (int d = 0; d < size; ++d) {
    max = std::max(max, std::abs(x[d]));
    scale_check += x[d] - x[d];
  }
  const float inverse = max > 0 ? 127 / max : 0;
  for (int d = 0; d < size; ++d) {
    out[d] = std::isfinite(x[d] * inverse) ? static_cast<uint8_t>(std::lrint(x[d] * inverse)) : 0;
  }
  const float scale = max / 127 + scale_check;
  std::memcpy(out + size, &scale, sizeof(scale));
}

// x: one head.
void StoreHead(const float* x, const LayerKv& kv, int64_t head, void* pool) {
  uint8_t* out = static_cast<uint8_t*>(pool) + head * KvHeadBytes(kv.dtype, kv.head_dim);
  if (kv.dtype == DType::kI8) return StoreQuantised(x, kv.head_dim, out);
  for (int d = 0; d < kv.head_dim; ++d) {
    if (kv.dtype == DType::kF32) {
      reinterpret_cast<float*>(out)[d] = x[d];
    } else {
      reinterpret_cast<uint16_t*>(out)[d] =
          kv.dtype == DType::kF16 ? HalfFromFloat(x[d]) : BFloat16FromFloat(x[d]);
    }
  }
}

// One query head, index `query` of [num_rows, num_heads], against the keys it sees.
void AttendOne(const AttentionArgs& args, absl::Span<const BlockId> block_table, int position,
               int64_t query) {
  const LayerKv& kv = args.kv;
  const float* q = args.q + query * kv.head_dim;
  float* out = args.out + query * kv.head_dim;
  const int64_t kv_head = query % args.num_heads * kv.num_kv_heads / args.num_heads;
  const int begin = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
  const auto head_of = [&](int j) {
    const int64_t slot =
        int64_t{block_table[j / kv.block_size]} * kv.block_size + j % kv.block_size;
    return slot * kv.num_kv_heads + kv_head;
  };
  std::vector<double> scores;
  for (int j = begin; j <= position; ++j) {
    double dot = 0;
    for (int d = 0; d < kv.head_dim; ++d) dot += q[d] * LoadElement(kv, kv.keys, head_of(j), d);
    scores.push_back(dot * args.scale);
  }
  const double max = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - max);
  for (int d = 0; d < kv.head_dim; ++d) {
    double sum = 0;
    for (int j = begin; j <= position; ++j) {
      sum += scores[j - begin] * LoadElement(kv, kv.values, head_of(j), d);
    }
    out[d] = static_cast<float>(sum / total);
  }
}

}  // namespace

void ReferenceOps::Embed(const MatrixView& table, absl::Span<const TokenId> ids, float scale,
                         float* out) {
  for (const TokenId id : ids) {
    for (const float x : DequantizeRow(table, id)) *out++ = x * scale;
  }
}

// NOLINTNEXTLINE(readability-function-size): as the contract has it
void ReferenceOps::RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows,
                           int64_t cols, float* out) {
  for (int64_t i = 0; i < rows; ++i, x += cols, out += cols) {
    double squares = 0;
    for (int64_t j = 0; j < cols; ++j) squares += double{x[j]} * x[j];
    const double norm = std::sqrt(squares / static_cast<double>(cols) + epsilon);
    for (int64_t j = 0; j < cols; ++j) out[j] = static_cast<float>(x[j] / norm * weight[j]);
  }
}

void ReferenceOps::MatMul(const float* x, int64_t rows, absl::Span<const Product> products,
                          Precision) {
  for (const auto& [w, bias, out] : products) {
    for (int64_t n = 0; n < w.rows; ++n) {
      const std::vector<float> weights = DequantizeRow(w, n);
      for (int64_t i = 0; i < rows; ++i) {
        double sum = bias ? bias[n] : 0;
        for (int64_t k = 0; k < w.cols; ++k) sum += double{x[i * w.cols + k]} * weights[k];
        out[i * w.rows + n] = static_cast<float>(sum);
      }
    }
  }
}

void ReferenceOps::Rope(const RopeTable& table, absl::Span<const int> positions, int num_heads,
                        int head_dim, float* x) {
  const int half = table.rotary_dim / 2;
  for (const int position : positions) {
    for (int head = 0; head < num_heads; ++head, x += head_dim) {
      for (int i = 0; i < half; ++i) {
        const bool halves = table.pairs == RopePairs::kHalves;
        float& a = x[halves ? i : 2 * i];
        float& b = x[halves ? i + half : 2 * i + 1];
        const double cos = table.cos[position * half + i], sin = table.sin[position * half + i];
        const double rotated = a * cos - b * sin;
        b = static_cast<float>(b * cos + a * sin);
        a = static_cast<float>(rotated);
      }
    }
  }
}

void ReferenceOps::StoreKv(const float* k, const float* v, absl::Span<const int64_t> slots,
                           const LayerKv& kv) {
  for (size_t i = 0; i < slots.size(); ++i) {
    for (int head = 0; head < kv.num_kv_heads; ++head) {
      const int64_t from = (static_cast<int64_t>(i) * kv.num_kv_heads + head) * kv.head_dim;
      const int64_t to = slots[i] * kv.num_kv_heads + head;
      StoreHead(k + from, kv, to, kv.keys);
      StoreHead(v + from, kv, to, kv.values);
    }
  }
}

void ReferenceOps::Attention(const AttentionArgs& args, absl::Span<const AttentionRow> rows) {
  for (const AttentionRow& row : rows) {
    for (int i = 0; i < row.num_rows; ++i) {
      for (int head = 0; head < args.num_heads; ++head) {
        AttendOne(args, row.block_table, row.position_begin + i,
                  (row.row_begin + i) * args.num_heads + head);
      }
    }
  }
}

void ReferenceOps::GatedActivation(Activation activation, const float* gate, const float* up,
                                   int64_t size, float* out) {
  for (int64_t i = 0; i < size; ++i) {
    const double x = gate[i];
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    const double y =
        activation == Activation::kSilu ? x / (1 + std::exp(-x)) : x / (1 + std::exp(-2 * u));
    out[i] = static_cast<float>(y * up[i]);
  }
}

void ReferenceOps::Add(const float* y, int64_t size, float* x) {
  for (int64_t i = 0; i < size; ++i) x[i] += y[i];
}

void ReferenceOps::Softcap(float cap, int64_t size, float* x) {
  for (int64_t i = 0; i < size; ++i) {
    x[i] = static_cast<float>(cap * std::tanh(double{x[i]} / cap));
  }
}

}  // namespace tandem
