// Kernels with AMX tiles and BF16 products, run on emulated instructions: packing, loops, edges and
// what follows the products. A CPU with the instructions must give the emulation's bits.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/kernels/cpu/cpu_ops.h"
#include "engine/kernels/cpu/dequantize.h"
#include "engine/kernels/cpu/tile_bfloat16_matmul.h"
#include "engine/kernels/cpu/tile_quantized_matmul.h"
#include "engine/kernels/thread_pool.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/emulated_tiles.h"
#include "tests/engine/kernels/isa_test.h"
#include "tests/engine/kernels/packed_matrix.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

// Ops whose BF16 and AMX instructions are emulated, with a name as `isa`.
std::unique_ptr<Ops> MakeEmulatedOps(Isa isa, int num_threads, bool quantize_activations = true) {
  static const auto* const amx = [] {
    auto* table = new KernelTable(*PortableKernels());
    table->quantized_matmul = TileQuantizedMatMul<PortableVector, EmulatedTiles>;
    table->bfloat16_matmul = TileBFloat16MatMul<PortableVector, EmulatedTiles>;
    return table;
  }();
  static const auto* const avx512_bf16 = [] {
    auto* table = new KernelTable(*PortableKernels());
    table->bfloat16_matmul = BFloat16MatMul<EmulatedBf16Vector>;
    return table;
  }();
  return std::make_unique<CpuOps>(isa, isa == Isa::kAmx ? *amx : *avx512_bf16, quantize_activations,
                                  *ThreadPool::Create(num_threads, {}));
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// `batch` rows at a time.
std::vector<float> MultiplyInBatches(Ops& ops, const std::vector<float>& x, int64_t rows,
                                     int64_t batch, const Product& product) {
  const MatrixView& w = product.w;
  std::vector<float> out(rows * w.rows);
  for (int64_t i = 0; i < rows; i += batch) {
    ops.MatMul(x.data() + i * w.cols, std::min(batch, rows - i),
               {{w, product.bias, out.data() + i * w.rows}}, Precision::kLow);
  }
  return out;
}

TEST(TileQuantizedMatMulTest, HasTheBitsOfTheVectorKernels) {
  const std::unique_ptr<Ops> portable = MakeOps(Isa::kPortable, 1);
  for (const DType dtype : kQuantisedTypes) {
    const int64_t block = GetDTypeInfo(dtype).block_size;
    for (const int64_t cols : {block, 3 * block, std::max<int64_t>(3 * block, 544)}) {
      constexpr int64_t kWidth = 37;
      const RandomMatrix w(dtype, kWidth, cols, static_cast<uint32_t>(cols));
      const PackedMatrix packed(*portable, w.view);
      const std::vector<float> bias = RandomFloats(kWidth, 2);
      for (const int num_threads : {1, 3}) {
        const std::unique_ptr<Ops> amx = MakeEmulatedOps(Isa::kAmx, num_threads);
        for (const int64_t rows : {1, 7, 8, 13, 16, 17, 31, 32, 49, 275}) {
          if (rows > 49 && cols != block) continue;  // more than one block of rows
          const std::vector<float> x = RandomFloats(rows * cols, static_cast<uint32_t>(rows));
          for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
            const float* b = rows % 2 == 0 ? nullptr : bias.data();
            ASSERT_TRUE(SameBits(Multiply(*amx, x, rows, packed.view(), b, precision),
                                 Multiply(*portable, x, rows, packed.view(), b, precision)))
                << GetDTypeInfo(dtype).name << " rows=" << rows << " cols=" << cols;
          }
        }
      }
    }
  }
}

class EmulatedBFloat16Test : public testing::TestWithParam<Isa> {
 protected:
  static std::unique_ptr<Ops> MakeOps(int num_threads) {
    return MakeEmulatedOps(GetParam(), num_threads);
  }
};

INSTANTIATE_TEST_SUITE_P(Isas, EmulatedBFloat16Test, testing::Values(Isa::kAvx512Bf16, Isa::kAmx),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

TEST_P(EmulatedBFloat16Test, IsTheProductOfRoundedActivations) {
  const std::unique_ptr<Ops> ops = MakeOps(2);
  constexpr int64_t kRows = 21, kWidth = 51;
  for (const int64_t cols : {1, 32, 83, 576}) {
    const RandomMatrix w(DType::kBF16, kWidth, cols, 3);
    const PackedMatrix packed(*ops, w.view);
    const std::vector<float> x = RandomFloats(kRows * cols, 4), bias = RandomFloats(kWidth, 5);
    const std::vector<float> out =
        Multiply(*ops, x, kRows, packed.view(), bias.data(), Precision::kHigh);
    for (int64_t n = 0; n < kWidth; ++n) {
      const std::vector<float> weights = DequantizeRow(w.view, n);
      for (int64_t i = 0; i < kRows; ++i) {
        double sum = bias[n], magnitude = std::abs(bias[n]);
        for (int64_t k = 0; k < cols; ++k) {
          const float value = FloatFromBFloat16(BFloat16FromFloat(x[i * cols + k]));
          sum += double{weights[k]} * value;
          magnitude += std::abs(double{weights[k]} * value);
        }
        ASSERT_NEAR(out[i * kWidth + n], sum, 1e-6 * magnitude) << "cols=" << cols;
      }
    }
  }
}

TEST_P(EmulatedBFloat16Test, OneRowEqualsThatRowInAnyBatchOnAnyThreads) {
  constexpr int64_t kRows = 67, kWidth = 51;
  for (const int64_t cols : {83, 160}) {
    const RandomMatrix w(DType::kBF16, kWidth, cols, 21);
    const std::vector<float> x = RandomFloats(kRows * cols, 22), bias = RandomFloats(kWidth, 23);
    const PackedMatrix packed(*MakeOps(1), w.view);
    for (const float* b : {static_cast<const float*>(nullptr), bias.data()}) {
      const Product product{packed.view(), b};
      const std::vector<float> alone = MultiplyInBatches(*MakeOps(1), x, kRows, 1, product);
      for (const int num_threads : {1, 3}) {
        const std::unique_ptr<Ops> ops = MakeOps(num_threads);
        for (const int64_t batch : {1, 2, 5, 8, 15, 16, 17, 33, 48, 67}) {
          ASSERT_TRUE(SameBits(alone, MultiplyInBatches(*ops, x, kRows, batch, product)))
              << "cols=" << cols << " batch=" << batch << " threads=" << num_threads;
        }
      }
    }
  }
}

TEST_P(EmulatedBFloat16Test, ComputesMoreRowsThanItTakesAtATime) {
  constexpr int64_t kRows = 300, kWidth = 16, kCols = 32;
  const std::unique_ptr<Ops> ops = MakeOps(2);
  const RandomMatrix w(DType::kBF16, kWidth, kCols, 6);
  const PackedMatrix packed(*ops, w.view);
  const std::vector<float> x = RandomFloats(kRows * kCols, 7);
  const Product product{packed.view()};
  EXPECT_TRUE(SameBits(MultiplyInBatches(*ops, x, kRows, 1, product),
                       MultiplyInBatches(*ops, x, kRows, kRows, product)));
}

TEST_P(EmulatedBFloat16Test, WhatIsNotFiniteIsNotHidden) {
  const std::unique_ptr<Ops> ops = MakeOps(1);
  constexpr int64_t kRows = 18, kWidth = 16, kCols = 40;
  const RandomMatrix w(DType::kBF16, kWidth, kCols, 8);
  const PackedMatrix packed(*ops, w.view);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::vector<float> x(kRows * kCols, 0.0f);
    x[17 * kCols + 39] = bad;
    const std::vector<float> out =
        Multiply(*ops, x, kRows, packed.view(), nullptr, Precision::kLow);
    for (int64_t n = 0; n < kWidth; ++n) {
      EXPECT_EQ(out[16 * kWidth + n], 0.0f);
      EXPECT_FALSE(std::isfinite(out[17 * kWidth + n]));
    }
  }
}

TEST_P(EmulatedBFloat16Test, TakesPackedStoredAndQuantisedWeightsInOneCall) {
  const std::unique_ptr<Ops> ops = MakeOps(3);
  constexpr int64_t kRows = 19, kCols = 96;
  const RandomMatrix a(DType::kBF16, 33, kCols, 1), b(DType::kQ4_1, 50, kCols, 2);
  const RandomMatrix c(DType::kF16, 18, kCols, 3), d(DType::kBF16, 16, kCols, 4);
  const PackedMatrix packed_a(*ops, a.view), packed_b(*ops, b.view), packed_d(*ops, d.view);
  const std::vector<float> x = RandomFloats(kRows * kCols, 5);
  const std::vector<MatrixView> weights = {packed_a.view(), packed_b.view(), c.view,
                                           packed_d.view()};
  std::vector<std::vector<float>> outs;
  std::vector<Product> products;
  outs.reserve(weights.size());
  for (const MatrixView& w : weights) {
    outs.emplace_back(kRows * w.rows);
    products.push_back({w, nullptr, outs.back().data()});
  }
  ops->MatMul(x.data(), kRows, products, Precision::kLow);
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_TRUE(SameBits(outs[i], Multiply(*ops, x, kRows, weights[i], nullptr, Precision::kLow)))
        << i;
  }
}

TEST_P(EmulatedBFloat16Test, IsNotUsedWhereActivationsAreNotRounded) {
  const RandomMatrix w(DType::kBF16, 16, 64, 1);
  EXPECT_EQ(MakeEmulatedOps(GetParam(), 1, /*quantize_activations=*/false)->PackedBytes(w.view), 0);
  EXPECT_EQ(MakeOps(1)->PackedBytes(w.view), 16 * 64 * 2);
}

TEST(PackBFloat16Test, PairsColumnsOfSixteenRowsAndFillsUpWithZeros) {
  const std::unique_ptr<Ops> ops = MakeEmulatedOps(Isa::kAmx, 2);
  constexpr int64_t kWidth = 19, kCols = 37, kPaddedCols = 64;
  const RandomMatrix w(DType::kBF16, kWidth, kCols, 9);
  ASSERT_EQ(ops->PackedBytes(w.view), 2 * 16 * kPaddedCols * 2);
  const PackedMatrix packed(*ops, w.view);
  for (int64_t row = 0; row < 32; ++row) {
    for (int64_t k = 0; k < kPaddedCols; ++k) {
      uint16_t expected = 0, actual;
      if (row < kWidth && k < kCols) std::memcpy(&expected, w.view.Row(row) + k * 2, 2);
      const int64_t index = ((row / 16 * kPaddedCols / 2 + k / 2) * 16 + row % 16) * 2 + k % 2;
      std::memcpy(&actual, packed.view().packed + index * 2, 2);
      ASSERT_EQ(actual, expected) << "row " << row << " column " << k;
    }
  }
}

// What tells the two orders apart, and both from one chain of additions.
TEST(EmulatedTilesTest, AddEvenAndOddColumnsApartBeforeWhatTheTileHeld) {
  TileShapes shapes = {};
  for (const int tile : {0, 1}) shapes.Set(tile, 1, 4);
  shapes.Set(2, 1, 4);
  for (int tile = 3; tile < 8; ++tile) shapes.Set(tile, 1, 4);
  EmulatedTiles tiles(shapes);
  const uint16_t one = BFloat16FromFloat(1.0f), tiny = BFloat16FromFloat(0x1p-24f);
  const uint16_t x[2] = {one, one}, w[2] = {tiny, tiny};
  float sum = 1.0f;
  tiles.Load<0>(&sum, 4);
  tiles.Load<1>(x, 4);
  tiles.Load<2>(w, 4);
  tiles.DotBFloat16<0, 1, 2>();
  tiles.Store<0>(&sum, 4);
  EXPECT_EQ(sum, 1.0f + 0x1p-23f);
  // One after the other, each is half a unit in the last place and rounded away.
  EXPECT_EQ(BFloat16MulAdd(one, tiny, BFloat16MulAdd(one, tiny, 1.0f)), 1.0f);
}

TEST(EmulatedTilesTest, TakeDenormalsForZero) {
  EXPECT_EQ(BFloat16MulAdd(BFloat16FromFloat(1.0f), 1, 0.0f), 0.0f);
  EXPECT_EQ(BFloat16MulAdd(BFloat16FromFloat(0x1p-100f), BFloat16FromFloat(0x1p-40f), 0.0f), 0.0f);
}

class HardwareTest : public testing::TestWithParam<Isa> {};

INSTANTIATE_TEST_SUITE_P(Isas, HardwareTest, testing::Values(Isa::kAvx512Bf16, Isa::kAmx),
                         [](const auto& info) { return std::string(IsaName(info.param)); });

TEST_P(HardwareTest, GivesTheBitsOfItsEmulation) {
  if (!CpuHas(GetParam())) GTEST_SKIP() << "no " << IsaName(GetParam()) << " here";
  const std::unique_ptr<Ops> hardware = MakeOps(GetParam(), 2);
  const std::unique_ptr<Ops> emulated = MakeEmulatedOps(GetParam(), 2);
  for (const DType dtype : {DType::kBF16, DType::kQ4_1, DType::kQ6_K, DType::kQ8_0}) {
    const int64_t cols = 768;
    const RandomMatrix w(dtype, 53, cols, 31);
    const PackedMatrix packed(*hardware, w.view);
    for (const int64_t rows : {1, 8, 16, 35}) {
      const std::vector<float> x = RandomFloats(rows * cols, 32);
      for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
        EXPECT_TRUE(SameBits(Multiply(*hardware, x, rows, packed.view(), nullptr, precision),
                             Multiply(*emulated, x, rows, packed.view(), nullptr, precision)))
            << GetDTypeInfo(dtype).name << " rows=" << rows;
      }
    }
  }
}

}  // namespace
}  // namespace tandem
