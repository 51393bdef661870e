// Matrix products of one step of SmolLM2-135M (30 layers in Q4_1, head in Q8_0), which bound its
// speed: items per second are tokens per second.
//
//   kernels_benchmark --benchmark_filter=DecodeAvx512
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "engine/core/log.h"
#include "engine/kernels/ops.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

// Weights of one model as an engine holds them: packed where `ops` packs.
class Weights {
 public:
  static constexpr int kLayers = 30;

  explicit Weights(Ops& ops) {
    for (uint32_t i = 0; i < kLayers; ++i) {
      Add(ops, DType::kQ4_1, 576, 576, i), Add(ops, DType::kQ4_1, 192, 576, i);
      Add(ops, DType::kQ4_1, 192, 576, i), Add(ops, DType::kQ4_1, 576, 576, i);
      Add(ops, DType::kQ4_1, 1536, 576, i), Add(ops, DType::kQ4_1, 1536, 576, i);
      Add(ops, DType::kQ4_1, 576, 1536, i);
    }
    Add(ops, DType::kQ8_0, 49152, 576, 8);
  }

  // The matrices of layer i: q, k, v, o, gate, up, down.
  const MatrixView* Layer(int i) const { return &views_[i * 7]; }
  const MatrixView& head() const { return views_.back(); }

 private:
  void Add(Ops& ops, DType dtype, int64_t rows, int64_t cols, uint32_t seed) {
    matrices_.push_back(std::make_unique<RandomMatrix>(dtype, rows, cols, seed));
    const MatrixView& stored = matrices_.back()->view;
    const int64_t bytes = ops.PackedBytes(stored);
    packed_.emplace_back(bytes);
    views_.push_back(bytes > 0 ? ops.Pack(stored, packed_.back().data()) : stored);
  }

  std::vector<std::unique_ptr<RandomMatrix>> matrices_;
  std::vector<AlignedBuffer<uint8_t>> packed_;
  std::vector<MatrixView> views_;
};

std::unique_ptr<Ops> MakeOps(benchmark::State& state, Isa isa, int num_threads) {
  auto ops = Ops::Create({.isa = isa, .num_threads = num_threads, .cpus = {}});
  if (ops.ok()) return *std::move(ops);
  state.SkipWithError(ops.status().ToString().c_str());
  return nullptr;
}

// `rows` tokens through all layers, `logit_rows` of them through the head.
void BM_Step(benchmark::State& state, Isa isa, int64_t rows, int64_t logit_rows) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, static_cast<int>(state.range(0)));
  if (ops == nullptr) return;
  const Weights weights(*ops);
  const std::vector<float> x = RandomFloats(rows * 1536, 9);
  std::vector<std::vector<float>> out(3, std::vector<float>(rows * 1536));
  std::vector<float> logits(logit_rows * 49152);
  for (auto _ : state) {
    for (int i = 0; i < Weights::kLayers; ++i) {
      const MatrixView* w = weights.Layer(i);
      ops->MatMul(x.data(), rows,
                  {{w[0], nullptr, out[0].data()},
                   {w[1], nullptr, out[1].data()},
                   {w[2], nullptr, out[2].data()}},
                  Precision::kHigh);
      ops->MatMul(x.data(), rows, {{w[3], nullptr, out[0].data()}}, Precision::kHigh);
      ops->MatMul(x.data(), rows, {{w[4], nullptr, out[0].data()}, {w[5], nullptr, out[1].data()}},
                  Precision::kLow);
      ops->MatMul(x.data(), rows, {{w[6], nullptr, out[0].data()}}, Precision::kLow);
    }
    ops->MatMul(x.data(), logit_rows, {{weights.head(), nullptr, logits.data()}}, Precision::kHigh);
  }
  state.SetItemsProcessed(state.iterations() * rows);
}

// One layer's attention of one new token after range(0) others.
void BM_DecodeAttention(benchmark::State& state, Isa isa) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  const int context = static_cast<int>(state.range(0));
  constexpr int kBlockSize = 16, kHeads = 9, kKvHeads = 3, kHeadDim = 64;
  std::vector<BlockId> table(context / kBlockSize + 1);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<BlockId>(i);
  std::vector<uint16_t> keys(table.size() * kBlockSize * kKvHeads * kHeadDim, 0x3c00), values(keys);
  const std::vector<float> q = RandomFloats(kHeads * kHeadDim, 1);
  std::vector<float> out(q.size());
  AttentionArgs args;
  args.q = q.data();
  args.out = out.data();
  args.num_heads = kHeads;
  args.kv = {keys.data(), values.data(), DType::kF16, kBlockSize, kKvHeads, kHeadDim};
  const AttentionRow row{.num_rows = 1, .position_begin = context, .block_table = table};
  for (auto _ : state) ops->Attention(args, {&row, 1});
}

#define TANDEM_STEP_BENCHMARKS(isa)                                               \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode1, Isa::k##isa, 1, 1)->Arg(1)->Arg(2);    \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode8, Isa::k##isa, 8, 8)->Arg(1)->Arg(2);    \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode32, Isa::k##isa, 32, 32)->Arg(1)->Arg(2); \
  BENCHMARK_CAPTURE(BM_Step, isa##Prefill512, Isa::k##isa, 512, 1)->Arg(1)->Arg(2)
TANDEM_STEP_BENCHMARKS(Avx512);
TANDEM_STEP_BENCHMARKS(Avx2);
TANDEM_STEP_BENCHMARKS(Portable);
BENCHMARK_CAPTURE(BM_DecodeAttention, Avx512, Isa::kAvx512)->Arg(512)->Arg(8000);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
