// The operations a transformer's forward pass is written in, with shapes and formulas. One
// implementation per device; on CPUs one per instruction set, chosen at run time.
//
// All activations are float32, row-major, [num_rows, width]. Every output element is reduced in an
// order fixed by the shape of the weight (or by absolute positions, in attention): it does not
// depend on how many rows are computed together, on where a prompt was cut, or on the number of
// threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"
#include "engine/core/model_config.h"
#include "engine/tensor/tensor.h"

namespace tandem {

// Instruction sets of the CPU kernels; kAuto takes the best the machine has.
enum class Isa { kAuto, kPortable, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// All but kAuto; a later one is faster.
inline constexpr Isa kIsas[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16,
                                Isa::kAmx};

// INVALID_ARGUMENT names an unknown spelling ("auto", "portable", "avx2", "avx512", "avx512_bf16",
// "amx").
absl::StatusOr<Isa> ParseIsa(absl::string_view name);
absl::string_view IsaName(Isa isa);

struct OpsOptions {
  Isa isa = Isa::kAuto;
  // Multiplies quantised weights with quantised activations in integer arithmetic, and BF16 weights
  // with BF16 activations where the CPU has instructions for it: several times as fast. Off:
  // float32 throughout.
  bool quantize_activations = true;
  int num_threads = 1;    // the caller's thread included
  std::vector<int> cpus;  // pin thread i to cpus[i % size]; empty: not pinned
};

// The paged K and V of one layer: pools of blocks [num_blocks, block_size, num_kv_heads] of heads
// as KvHeadBytes describes them.
struct LayerKv {
  void* keys = nullptr;
  void* values = nullptr;
  DType dtype = DType::kF16;  // IsKvDType
  int block_size = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

// Query rows of one sequence in a step: rows [row_begin, row_begin + num_rows) of the activations
// stand at positions [position_begin, ...) of the sequence whose blocks are block_table.
struct AttentionRow {
  int64_t row_begin = 0;
  int num_rows = 0;
  int position_begin = 0;
  absl::Span<const BlockId> block_table;
};

struct AttentionArgs {
  const float* q = nullptr;  // [num_rows, num_heads, head_dim]
  float* out = nullptr;      // [num_rows, num_heads, head_dim]
  int num_heads = 0;
  float scale = 1.0f;
  int window = 0;  // a query at position p sees keys at (p - window, p]; 0: all of [0, p]
  LayerKv kv;
};

// Cosines and sines per position, [max_position, rotary_dim / 2] each; made by the model once per
// rope base.
struct RopeTable {
  AlignedBuffer<float> cos;
  AlignedBuffer<float> sin;
  int rotary_dim = 0;
  RopePairs pairs = RopePairs::kHalves;
};

// How finely MatMul may round its input where it computes with integers: to 8 bits, or to 15 for
// products whose errors a model amplifies.
enum class Precision { kLow, kHigh };

// One product of an input with a weight; see Ops::MatMul.
struct Product {
  const MatrixView& w;
  const float* bias = nullptr;  // [w.rows] or null
  float* out = nullptr;         // [rows, w.rows], not the input
};

// Not thread-safe: one caller at a time; each call is spread over the pool's threads and returns
// when done.
class Ops {
 public:
  virtual ~Ops() = default;

  // FAILED_PRECONDITION when the CPU lacks `isa`; the message lists what it has.
  static absl::StatusOr<std::unique_ptr<Ops>> Create(const OpsOptions& options);

  virtual Isa isa() const = 0;

  // out[i, :] = table[ids[i], :] * scale.  out: [ids.size(), table.cols]
  virtual void Embed(const MatrixView& table, absl::Span<const TokenId> ids, float scale,
                     float* out) = 0;

  // out[i, :] = x[i, :] / sqrt(mean(x[i, :]^2) + epsilon) * weight.  x, out: [rows, cols], may
  // alias.
  virtual void RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows,
                       int64_t cols, float* out) = 0;

  // Bytes that Pack writes for `w`; 0 where MatMul reads it best as it is stored.
  virtual int64_t PackedBytes(const MatrixView& w) const = 0;
  // Arranges `w` in `out`, [PackedBytes(w)] and 64-byte aligned, as MatMul reads it fastest, and
  // returns the view of both, which is good as long as they are. Over the pool's threads.
  virtual MatrixView Pack(const MatrixView& w, uint8_t* out) = 0;

  // For every product: out[i, n] = sum_k x[i, k] * w[n, k] + bias[n].  x: [rows, w.cols]. Stored
  // weights of every DType are multiplied in float32; packed ones with x rounded per `precision`,
  // or to BF16 where they are BF16.
  virtual void MatMul(const float* x, int64_t rows, absl::Span<const Product> products,
                      Precision precision) = 0;

  // Rotates the heads of row i by its position in place.  x: [positions.size(), num_heads,
  // head_dim]
  virtual void Rope(const RopeTable& table, absl::Span<const int> positions, int num_heads,
                    int head_dim, float* x) = 0;

  // Converts k and v of row i to the cache's type and stores them at slots[i] = block * block_size
  // + offset. k, v: [slots.size(), num_kv_heads, head_dim]
  virtual void StoreKv(const float* k, const float* v, absl::Span<const int64_t> slots,
                       const LayerKv& kv) = 0;

  // Causal grouped-query attention over stored K and V:
  // out[i, h] = sum_j softmax_j(scale * q[i, h].k[j, h']) v[j, h'],  h' = h * num_kv_heads /
  // num_heads.
  virtual void Attention(const AttentionArgs& args, absl::Span<const AttentionRow> rows) = 0;

  // out[i] = activation(gate[i]) * up[i]; size elements; out may alias either.
  virtual void GatedActivation(Activation activation, const float* gate, const float* up,
                               int64_t size, float* out) = 0;

  // x[i] += y[i].
  virtual void Add(const float* y, int64_t size, float* x) = 0;

  // x[i] = cap * tanh(x[i] / cap).
  virtual void Softcap(float cap, int64_t size, float* x) = 0;
};

}  // namespace tandem
