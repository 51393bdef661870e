// Fixtures of the kernels' tests: a test per instruction set that this machine has, and a sequence
// with random K and V in shuffled blocks.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/core/kv_layout.h"
#include "engine/kernels/cpu/cpu_features.h"
#include "engine/kernels/cpu/reference_ops.h"
#include "engine/kernels/ops.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {

inline std::vector<Isa> IsasOfThisMachine() {
  std::vector<Isa> isas;
  for (const Isa isa : kIsas) {
    if (CpuHas(isa)) isas.push_back(isa);
  }
  return isas;
}

inline std::unique_ptr<Ops> MakeOps(Isa isa, int num_threads) {
  OpsOptions options;
  options.isa = isa;
  options.num_threads = num_threads;
  return *Ops::Create(options);
}

class IsaTest : public testing::TestWithParam<Isa> {
 protected:
  Ops& ops() { return *ops_; }

 private:
  const std::unique_ptr<Ops> ops_ = MakeOps(GetParam(), 2);
};

#define TANDEM_INSTANTIATE_FOR_EACH_ISA(suite)                                  \
  INSTANTIATE_TEST_SUITE_P(Isas, suite, testing::ValuesIn(IsasOfThisMachine()), \
                           [](const auto& info) { return std::string(IsaName(info.param)); })

class PagedSequence {
 public:
  PagedSequence(int num_kv_heads, int head_dim, int block_size, DType dtype, int num_tokens,
                uint32_t seed) {
    const int num_blocks = (num_tokens + block_size - 1) / block_size + 2;
    const int64_t width = int64_t{num_kv_heads} * head_dim;
    // What no token was stored to is NaN: reading it would show.
    keys_.assign(KvHeadBytes(dtype, head_dim) * num_kv_heads * num_blocks * block_size, 0xff);
    values_ = keys_;
    kv_ = {keys_.data(), values_.data(), dtype, block_size, num_kv_heads, head_dim};
    block_table_.resize(num_blocks);
    std::iota(block_table_.begin(), block_table_.end(), 0);
    std::shuffle(block_table_.begin(), block_table_.end(), std::mt19937(seed));

    const std::vector<float> k = RandomFloats(num_tokens * width, seed + 1);
    const std::vector<float> v = RandomFloats(num_tokens * width, seed + 2);
    std::vector<int64_t> slots(num_tokens);
    for (int i = 0; i < num_tokens; ++i) {
      slots[i] = int64_t{block_table_[i / block_size]} * block_size + i % block_size;
    }
    ReferenceOps().StoreKv(k.data(), v.data(), slots, kv_);
  }

  const LayerKv& kv() const { return kv_; }
  const std::vector<BlockId>& block_table() const { return block_table_; }

 private:
  std::vector<uint8_t> keys_, values_;
  LayerKv kv_;
  std::vector<BlockId> block_table_;
};

}  // namespace tandem
