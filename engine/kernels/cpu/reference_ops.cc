#include "engine/kernels/cpu/reference_ops.h"

#include <algorithm>
#include <cmath>

#include "engine/core/log.h"
#include "engine/kernels/cpu/dequantize.h"
#include "engine/tensor/float16.h"

namespace tandem {
namespace {

double LoadElement(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::kF32) return static_cast<const float*>(data)[i];
  const uint16_t bits = static_cast<const uint16_t*>(data)[i];
  return dtype == DType::kF16 ? FloatFromHalf(bits) : FloatFromBFloat16(bits);
}

void StoreElement(float x, DType dtype, int64_t i, void* data) {
  if (dtype == DType::kF32) {
    static_cast<float*>(data)[i] = x;
  } else {
    static_cast<uint16_t*>(data)[i] =
        dtype == DType::kF16 ? HalfFromFloat(x) : BFloat16FromFloat(x);
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
  const auto index = [&](int j) {
    const int64_t slot =
        int64_t{block_table[j / kv.block_size]} * kv.block_size + j % kv.block_size;
    return (slot * kv.num_kv_heads + kv_head) * kv.head_dim;
  };
  std::vector<double> scores;
  for (int j = begin; j <= position; ++j) {
    double dot = 0;
    for (int d = 0; d < kv.head_dim; ++d)
      dot += q[d] * LoadElement(kv.keys, kv.dtype, index(j) + d);
    scores.push_back(dot * args.scale);
  }
  const double max = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp(score - max);
  for (int d = 0; d < kv.head_dim; ++d) {
    double sum = 0;
    for (int j = begin; j <= position; ++j) {
      sum += scores[j - begin] * LoadElement(kv.values, kv.dtype, index(j) + d);
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
  const int64_t width = int64_t{kv.num_kv_heads} * kv.head_dim;
  for (size_t i = 0; i < slots.size(); ++i) {
    for (int64_t j = 0; j < width; ++j) {
      StoreElement(k[i * width + j], kv.dtype, slots[i] * width + j, kv.keys);
      StoreElement(v[i * width + j], kv.dtype, slots[i] * width + j, kv.values);
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
