// Ops written down as their formulas: one thread, double precision, no tiles. Slow; the oracle of
// the kernels' tests.
#pragma once

#include "engine/kernels/ops.h"

namespace tandem {

class ReferenceOps : public Ops {
 public:
  Isa isa() const override { return Isa::kPortable; }

  void Embed(const MatrixView& table, absl::Span<const TokenId> ids, float scale,
             float* out) override;
  void RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t cols,
               float* out) override;
  int64_t PackedBytes(const MatrixView&) const override { return 0; }
  MatrixView Pack(const MatrixView& w, uint8_t*) override { return w; }
  void MatMul(const float* x, int64_t rows, absl::Span<const Product> products,
              Precision precision) override;
  void Rope(const RopeTable& table, absl::Span<const int> positions, int num_heads, int head_dim,
            float* x) override;
  void StoreKv(const float* k, const float* v, absl::Span<const int64_t> slots,
               const LayerKv& kv) override;
  void Attention(const AttentionArgs& args, absl::Span<const AttentionRow> rows) override;
  void GatedActivation(Activation activation, const float* gate, const float* up, int64_t size,
                       float* out) override;
  void Add(const float* y, int64_t size, float* x) override;
  void Softcap(float cap, int64_t size, float* x) override;
};

}  // namespace tandem
