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

struct Layer {
  RandomMatrix q{DType::kQ4_1, 576, 576, 1}, k{DType::kQ4_1, 192, 576, 2};
  RandomMatrix v{DType::kQ4_1, 192, 576, 3}, o{DType::kQ4_1, 576, 576, 4};
  RandomMatrix gate{DType::kQ4_1, 1536, 576, 5}, up{DType::kQ4_1, 1536, 576, 6};
  RandomMatrix down{DType::kQ4_1, 576, 1536, 7};
};

struct Weights {
  std::vector<std::unique_ptr<Layer>> layers;
  RandomMatrix head{DType::kQ8_0, 49152, 576, 8};
  Weights() {
    for (int i = 0; i < 30; ++i) layers.push_back(std::make_unique<Layer>());
  }
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
  static const Weights* const weights = new Weights;
  const std::vector<float> x = RandomFloats(rows * 1536, 9);
  std::vector<float> out(rows * 49152);
  for (auto _ : state) {
    for (const auto& layer : weights->layers) {
      for (const RandomMatrix* w :
           {&layer->q, &layer->k, &layer->v, &layer->o, &layer->gate, &layer->up, &layer->down}) {
        ops->MatMul(x.data(), rows, {{w->view, nullptr, out.data()}}, Precision::kLow);
      }
    }
    ops->MatMul(x.data(), logit_rows, {{weights->head.view, nullptr, out.data()}}, Precision::kLow);
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

BENCHMARK_CAPTURE(BM_Step, DecodeAvx512, Isa::kAvx512, 1, 1)->Arg(1)->Arg(2);
BENCHMARK_CAPTURE(BM_Step, DecodeAvx2, Isa::kAvx2, 1, 1)->Arg(1);
BENCHMARK_CAPTURE(BM_Step, DecodePortable, Isa::kPortable, 1, 1)->Arg(1);
BENCHMARK_CAPTURE(BM_Step, Decode8Avx512, Isa::kAvx512, 8, 8)->Arg(1);
BENCHMARK_CAPTURE(BM_Step, Prefill256Avx512, Isa::kAvx512, 256, 1)->Arg(1)->Arg(2);
BENCHMARK_CAPTURE(BM_Step, Prefill256Avx2, Isa::kAvx2, 256, 1)->Arg(1);
BENCHMARK_CAPTURE(BM_Step, Prefill256Portable, Isa::kPortable, 256, 1)->Arg(1);
BENCHMARK_CAPTURE(BM_DecodeAttention, Avx512, Isa::kAvx512)->Arg(512)->Arg(8000);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
