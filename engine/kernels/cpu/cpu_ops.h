// Ops on the CPU: cuts each operation into tasks for the thread pool and calls the kernels of one
// instruction set. Where it cuts never shows in the results.
#pragma once

#include <memory>
#include <vector>

#include "engine/kernels/cpu/attention_plan.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/ops.h"
#include "engine/kernels/thread_pool.h"

namespace tandem {

class CpuOps : public Ops {
 public:
  // `kernels`, which must be such that this CPU can run them, stand for `isa`. See OpsOptions.
  CpuOps(Isa isa, const KernelTable& kernels, bool quantize_activations,
         std::unique_ptr<ThreadPool> pool);

  Isa isa() const override { return isa_; }

  void Embed(const MatrixView& table, absl::Span<const TokenId> ids, float scale,
             float* out) override;
  void RmsNorm(const float* x, const float* weight, float epsilon, int64_t rows, int64_t cols,
               float* out) override;
  int64_t PackedBytes(const MatrixView& w) const override;
  MatrixView Pack(const MatrixView& w, uint8_t* out) override;
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

 private:
  // What one thread multiplies: groups [begin, end) of a packed weight with all rows.
  struct PackedShare {
    const float* x;  // [rows, cols]
    int64_t rows;
    int planes;
    int64_t begin = 0, end = 0;
    int thread = 0;
  };

  // Calls visit(begin, count, thread) for parts of [0, size) in parallel; parts are multiples of
  // `grain`.
  template <typename Visit>
  void Split(int64_t size, int64_t grain, Visit visit);
  float* Scratch(int thread, int64_t floats);
  FloatLayout LayoutOf(DType dtype) const;
  void StoredMatMul(const float* x, int64_t rows, const Product& product);
  // Fills quants_ and block_scales_ with `planes` of x.
  void Quantize(const float* x, int64_t rows, int64_t cols, int planes);
  // Fills rounded_ with x.
  void RoundToBFloat16(const float* x, int64_t rows, int64_t cols);
  // All packed products, of what was quantised or rounded or of x; a thread's share of each follows
  // from that of all, `whole`.
  void PackedMatMul(PackedShare whole, absl::Span<const Product> products);
  // Groups [begin, end) of one weight.
  void QuantizedGroups(const Product& product, const PackedShare& share);
  void BFloat16Groups(const Product& product, const PackedShare& share);
  void FloatGroups(const Product& product, const PackedShare& share);

  const Isa isa_;
  const bool quantize_activations_;
  const KernelTable& kernels_;
  const std::unique_ptr<ThreadPool> pool_;
  std::vector<AlignedBuffer<float>> scratch_;  // [num_threads]
  std::vector<QuantPanel> panels_;             // [num_threads]

  // Reused from call to call.
  AttentionPlan attention_plan_;
  AlignedBuffer<int8_t> quants_;            // [rows, planes, cols]
  AlignedBuffer<BlockScale> block_scales_;  // [rows, cols / 32]
  AlignedBuffer<uint16_t> rounded_;         // [rows, cols filled up to kPairColumns]
};

}  // namespace tandem
