// One step of SmolLM2-135M (30 layers in Q4_1, head in Q8_0): its matrix products, where items per
// second are tokens per second, its attention and its cheap operations.
//
//   kernels_benchmark --benchmark_filter=DecodeAvx512
//   kernels_benchmark --benchmark_filter='FmaPeak|Attention/Avx2'
#include <benchmark/benchmark.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <memory>
#include <vector>

#include "engine/core/log.h"
#include "engine/kernels/cpu/cpu_features.h"
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

void ReportFlops(benchmark::State& state, double flops_per_iteration) {
  state.counters["FLOP/s"] =
      benchmark::Counter(flops_per_iteration, benchmark::Counter::kIsIterationInvariantRate);
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

// 256-bit fused multiply-adds that do not wait for each other: what the figures below are shares
// of.
#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void BM_FmaPeak(benchmark::State& state) {
  if (!CpuHas(Isa::kAvx2)) return state.SkipWithError("no AVX2");
  constexpr int kChains = 12, kSteps = 1000;
  __m256 sums[kChains] = {};
  const __m256 x = _mm256_set1_ps(0.5f);
  for (auto _ : state) {
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
      for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, x, x);
    }
    benchmark::DoNotOptimize(sums);
  }
  ReportFlops(state, 2.0 * 8 * kChains * kSteps);
}
BENCHMARK(BM_FmaPeak);
#endif

// Attention of SmolLM2-135M, 9 heads on 3 of K and V: sequences with K and V of their own in every
// one of 30 layers, so that caches hold as little of them as in a step.
class AttentionInput {
 public:
  AttentionInput(DType dtype, int num_sequences, int num_queries, int position_begin)
      : q_(RandomFloats(int64_t{num_sequences} * num_queries * kHeads * kHeadDim, 1)),
        out_(q_.size()) {
    const int num_tokens = position_begin + num_queries;
    const int blocks = (num_tokens + kBlockSize - 1) / kBlockSize;
    const int64_t bytes =
        int64_t{num_sequences} * blocks * kBlockSize * DTypeBytes(dtype, kKvHeads * kHeadDim);
    for (std::vector<uint8_t>& pool : pools_) {
      // Small numbers in every type.
      pool.assign(bytes, 0x2c);
      for (int64_t i = 0; i < bytes; i += 4) pool[i] = static_cast<uint8_t>(i * 37 >> 3);
    }
    tables_.resize(num_sequences);
    flops_ = 0;
    for (int i = 0; i < num_sequences; ++i) {
      for (int block = 0; block < blocks; ++block) tables_[i].push_back(i + block * num_sequences);
      rows_.push_back({.row_begin = int64_t{i} * num_queries,
                       .num_rows = num_queries,
                       .position_begin = position_begin,
                       .block_table = tables_[i]});
      const double keys = num_queries * (position_begin + 0.5 * (num_queries + 1));
      flops_ += 4.0 * kHeads * kHeadDim * keys;
    }
    args_.q = q_.data();
    args_.out = out_.data();
    args_.num_heads = kHeads;
    args_.scale = 0.125f;
    args_.kv.dtype = dtype;
    args_.kv.block_size = kBlockSize;
    args_.kv.num_kv_heads = kKvHeads;
    args_.kv.head_dim = kHeadDim;
  }

  // One layer of a step.
  void Attend(Ops& ops, int layer) {
    args_.kv.keys = pools_[2 * layer].data();
    args_.kv.values = pools_[2 * layer + 1].data();
    ops.Attention(args_, rows_);
  }
  double flops() const { return flops_; }

  static constexpr int kLayers = 30;

 private:
  static constexpr int kBlockSize = 16, kHeads = 9, kKvHeads = 3, kHeadDim = 64;

  std::vector<float> q_, out_;
  std::vector<uint8_t> pools_[2 * kLayers];
  std::vector<std::vector<BlockId>> tables_;
  std::vector<AttentionRow> rows_;
  AttentionArgs args_;
  double flops_;
};

// Arguments: threads, sequences, queries of each, position of the first query. An iteration is one
// layer.
void BM_Attention(benchmark::State& state, Isa isa, DType dtype) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, static_cast<int>(state.range(0)));
  if (ops == nullptr) return;
  AttentionInput input(dtype, static_cast<int>(state.range(1)), static_cast<int>(state.range(2)),
                       static_cast<int>(state.range(3)));
  for (int layer = 0; layer < AttentionInput::kLayers; ++layer) input.Attend(*ops, layer);
  int layer = 0;
  for (auto _ : state) input.Attend(*ops, layer++ % AttentionInput::kLayers);
  ReportFlops(state, input.flops());
}

void AttentionCases(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads", "sequences", "queries", "position"});
  for (const int threads : {1, 2}) {
    benchmark->Args({threads, 1, 1, 255})->Args({threads, 32, 1, 159});
    benchmark->Args({threads, 64, 1, 191})->Args({threads, 1, 1, 4095});
    benchmark->Args({threads, 1, 1, 7999});
    benchmark->Args({threads, 1, 128, 0})->Args({threads, 1, 512, 0});
    benchmark->Args({threads, 1, 1536, 0})->Args({threads, 1, 512, 1024});
  }
  benchmark->UseRealTime();
}

// The cheap operations of one layer, for rows of SmolLM2-135M.
void BM_RmsNorm(benchmark::State& state, Isa isa) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  const int64_t rows = state.range(0);
  std::vector<float> x = RandomFloats(rows * 576, 1), weight = RandomFloats(576, 2), out(x.size());
  for (auto _ : state) ops->RmsNorm(x.data(), weight.data(), 1e-5f, rows, 576, out.data());
}

void BM_Rope(benchmark::State& state, Isa isa) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  RopeTable table;
  table.rotary_dim = 64;
  table.cos = AlignedBuffer<float>(32 * state.range(0));
  table.sin = AlignedBuffer<float>(32 * state.range(0));
  for (size_t i = 0; i < table.cos.size(); ++i) table.cos[i] = table.sin[i] = 0.7f;
  std::vector<int> positions(state.range(0));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int>(i);
  std::vector<float> x = RandomFloats(state.range(0) * 9 * 64, 1);
  for (auto _ : state) ops->Rope(table, positions, 9, 64, x.data());
}

void BM_StoreKv(benchmark::State& state, Isa isa, DType dtype) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  const int64_t rows = state.range(0);
  const std::vector<float> k = RandomFloats(rows * 192, 1), v = RandomFloats(rows * 192, 2);
  std::vector<uint8_t> keys(rows * 192 * sizeof(float)), values(keys);
  std::vector<int64_t> slots(rows);
  for (int64_t i = 0; i < rows; ++i) slots[i] = i;
  const LayerKv kv{keys.data(), values.data(), dtype, 16, 3, 64};
  for (auto _ : state) ops->StoreKv(k.data(), v.data(), slots, kv);
}

void BM_GatedActivation(benchmark::State& state, Isa isa) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  const int64_t size = state.range(0) * 1536;
  const std::vector<float> gate = RandomFloats(size, 1, 4.0f), up = RandomFloats(size, 2);
  std::vector<float> out(size);
  for (auto _ : state) {
    ops->GatedActivation(Activation::kSilu, gate.data(), up.data(), size, out.data());
  }
}

void BM_Add(benchmark::State& state, Isa isa) {
  const std::unique_ptr<Ops> ops = MakeOps(state, isa, 1);
  if (ops == nullptr) return;
  const int64_t size = state.range(0) * 576;
  const std::vector<float> y(size, 0.0f);
  std::vector<float> x = RandomFloats(size, 1);
  for (auto _ : state) ops->Add(y.data(), size, x.data());
}

#define TANDEM_STEP_BENCHMARKS(isa)                                               \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode1, Isa::k##isa, 1, 1)->Arg(1)->Arg(2);    \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode8, Isa::k##isa, 8, 8)->Arg(1)->Arg(2);    \
  BENCHMARK_CAPTURE(BM_Step, isa##Decode32, Isa::k##isa, 32, 32)->Arg(1)->Arg(2); \
  BENCHMARK_CAPTURE(BM_Step, isa##Prefill512, Isa::k##isa, 512, 1)->Arg(1)->Arg(2)
TANDEM_STEP_BENCHMARKS(Avx512);
TANDEM_STEP_BENCHMARKS(Avx2);
TANDEM_STEP_BENCHMARKS(Portable);
BENCHMARK_CAPTURE(BM_Attention, Avx2F16, Isa::kAvx2, DType::kF16)->Apply(AttentionCases);
BENCHMARK_CAPTURE(BM_Attention, Avx512F16, Isa::kAvx512, DType::kF16)->Apply(AttentionCases);
BENCHMARK_CAPTURE(BM_RmsNorm, Avx2, Isa::kAvx2)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(BM_Rope, Avx2, Isa::kAvx2)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(BM_StoreKv, Avx2F16, Isa::kAvx2, DType::kF16)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(BM_StoreKv, Avx2BF16, Isa::kAvx2, DType::kBF16)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(BM_GatedActivation, Avx2, Isa::kAvx2)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(BM_Add, Avx2, Isa::kAvx2)->Arg(1)->Arg(512);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
