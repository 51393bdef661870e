// Packed weights with quantised activations: what integer arithmetic gives, and that it gives the
// same bits on every instruction set, in any batch and on any number of threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/kernels/cpu/cpu_features.h"
#include "engine/kernels/cpu/dequantize.h"
#include "engine/kernels/cpu/reference_ops.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/isa_test.h"
#include "tests/engine/kernels/packed_matrix.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

using PackedMatMulTest = IsaTest;
TANDEM_INSTANTIATE_FOR_EACH_ISA(PackedMatMulTest);

// Numbers that 8 bits hold exactly: whole ones up to 127, which each block of 32 has.
std::vector<float> ExactActivations(int64_t size) {
  std::vector<float> x = RandomFloats(size, 5);
  for (int64_t i = 0; i < size; ++i) x[i] = i % 32 == 7 ? 127 : std::round(x[i] * 40);
  return x;
}

// The largest error, relative to what was added up.
double LargestError(const std::vector<float>& actual, const std::vector<float>& x, int64_t rows,
                    const MatrixView& w) {
  double largest = 0;
  for (int64_t n = 0; n < w.rows; ++n) {
    const std::vector<float> weights = DequantizeRow(w, n);
    for (int64_t i = 0; i < rows; ++i) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < w.cols; ++k) {
        const double product = double{weights[k]} * x[i * w.cols + k];
        sum += product;
        magnitude += std::abs(product);
      }
      largest = std::max(largest, std::abs(actual[i * w.rows + n] - sum) / magnitude);
    }
  }
  return largest;
}

TEST_P(PackedMatMulTest, IsExactWhereActivationsNeedNoRounding) {
  constexpr int64_t kRows = 11, kWidth = 37;
  for (const DType dtype : kQuantisedTypes) {
    const bool is_k = GetDTypeInfo(dtype).block_size == 256;  // scales of two factors are rounded
    for (const int64_t cols : {256, 768}) {
      const RandomMatrix w(dtype, kWidth, cols, static_cast<uint32_t>(cols));
      const PackedMatrix packed(ops(), w.view);
      const std::vector<float> x = ExactActivations(kRows * cols);
      for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
        const std::vector<float> out = Multiply(ops(), x, kRows, packed.view(), nullptr, precision);
        EXPECT_LT(LargestError(out, x, kRows, w.view), is_k ? 5e-4 : 2e-6)
            << GetDTypeInfo(dtype).name << " cols=" << cols;
      }
    }
  }
}

// Bytes [first, last) of a block hold the quants.
struct QuantBytes {
  DType dtype;
  int first, last;
};

TEST_P(PackedMatMulTest, LargestQuantsAndActivationsDoNotOverflow) {
  constexpr int64_t kRows = 9, kWidth = 16, kCols = 256;
  for (const auto& [dtype, first, last] : {QuantBytes{DType::kQ4_0, 2, 18},
                                           {DType::kQ4_1, 4, 20},
                                           {DType::kQ5_0, 2, 22},
                                           {DType::kQ5_1, 4, 24},
                                           {DType::kQ6_K, 0, 192},
                                           {DType::kQ8_0, 2, 34}}) {
    for (const uint8_t byte : {0xff, 0x00, 0x7f, 0x80}) {
      RandomMatrix w(dtype, kWidth, kCols, 3);
      for (size_t i = 0; i < w.bytes.size(); ++i) {
        const int at = static_cast<int>(i % GetDTypeInfo(dtype).block_bytes);
        if (at >= first && at < last) w.bytes[i] = byte;
      }
      const PackedMatrix packed(ops(), w.view);
      for (const float value : {127.0f, -127.0f}) {
        const std::vector<float> x(kRows * kCols, value);
        for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
          const auto out = Multiply(ops(), x, kRows, packed.view(), nullptr, precision);
          EXPECT_LT(LargestError(out, x, kRows, w.view), dtype == DType::kQ6_K ? 5e-4 : 2e-6)
              << GetDTypeInfo(dtype).name << " bytes=" << int{byte} << " x=" << value;
        }
      }
    }
  }
}

TEST_P(PackedMatMulTest, RoundsActivationsToEightOrFifteenBits) {
  constexpr int64_t kRows = 5, kWidth = 20, kCols = 544;
  const RandomMatrix w(DType::kQ4_1, kWidth, kCols, 8);
  const PackedMatrix packed(ops(), w.view);
  const std::vector<float> x = RandomFloats(kRows * kCols, 9);
  const auto error = [&](Precision precision) {
    return LargestError(Multiply(ops(), x, kRows, packed.view(), nullptr, precision), x, kRows,
                        w.view);
  };
  EXPECT_LT(error(Precision::kLow), 2e-3);
  EXPECT_GT(error(Precision::kLow), 1e-5) << "it is 8 bits that are computed with";
  EXPECT_LT(error(Precision::kHigh), 1e-5);
}

TEST_P(PackedMatMulTest, GivesTheSameBitsOnEveryInstructionSetInAnyBatchOnAnyThreads) {
  constexpr int64_t kRows = 67, kWidth = 51;
  const std::unique_ptr<Ops> portable = MakeOps(Isa::kPortable, 1);
  for (const DType dtype : kQuantisedTypes) {
    const int64_t cols = 768;  // more than one panel
    const RandomMatrix w(dtype, kWidth, cols, 21);
    const std::vector<float> x = RandomFloats(kRows * cols, 22);
    const std::vector<float> bias = RandomFloats(kWidth, 23);
    const PackedMatrix packed(*portable, w.view);
    for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
      const std::vector<float> expected =
          Multiply(*portable, x, kRows, packed.view(), bias.data(), precision);
      for (const int num_threads : {1, 3}) {
        const std::unique_ptr<Ops> threaded = MakeOps(GetParam(), num_threads);
        for (const int64_t batch : {1, 2, 7, 8, 13, 67}) {
          std::vector<float> out(kRows * kWidth);
          for (int64_t i = 0; i < kRows; i += batch) {
            threaded->MatMul(x.data() + i * cols, std::min(batch, kRows - i),
                             {{packed.view(), bias.data(), out.data() + i * kWidth}}, precision);
          }
          ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
              << GetDTypeInfo(dtype).name << " batch=" << batch << " threads=" << num_threads;
        }
      }
    }
  }
}

TEST_P(PackedMatMulTest, SeveralProductsOfOneInputAreThoseOfEachAlone) {
  constexpr int64_t kRows = 9, kCols = 256;
  const RandomMatrix a(DType::kQ4_1, 70, kCols, 1), b(DType::kQ6_K, 33, kCols, 2);
  const RandomMatrix c(DType::kF16, 18, kCols, 3);
  const PackedMatrix packed_a(ops(), a.view), packed_b(ops(), b.view);
  const std::vector<float> x = RandomFloats(kRows * kCols, 4);
  std::vector<float> out_a(kRows * 70), out_b(kRows * 33), out_c(kRows * 18);
  ops().MatMul(x.data(), kRows,
               {{packed_a.view(), nullptr, out_a.data()},
                {c.view, nullptr, out_c.data()},
                {packed_b.view(), nullptr, out_b.data()}},
               Precision::kLow);
  EXPECT_EQ(out_a, Multiply(ops(), x, kRows, packed_a.view(), nullptr, Precision::kLow));
  EXPECT_EQ(out_b, Multiply(ops(), x, kRows, packed_b.view(), nullptr, Precision::kLow));
  EXPECT_EQ(out_c, Multiply(ops(), x, kRows, c.view, nullptr, Precision::kLow));
}

TEST_P(PackedMatMulTest, ZerosStayZeroAndWhatIsNotFiniteIsNotHidden) {
  constexpr int64_t kCols = 96;
  const RandomMatrix w(DType::kQ4_1, 16, kCols, 6);
  const PackedMatrix packed(ops(), w.view);
  std::vector<float> x(2 * kCols, 0.0f);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    x[kCols + 40] = bad;
    for (const Precision precision : {Precision::kLow, Precision::kHigh}) {
      const std::vector<float> out = Multiply(ops(), x, 2, packed.view(), nullptr, precision);
      for (int n = 0; n < 16; ++n) {
        EXPECT_EQ(out[n], 0.0f);
        EXPECT_TRUE(std::isnan(out[16 + n])) << out[16 + n];
      }
    }
  }
}

// Float weights: odd sizes, more than one stretch of columns and one block of rows.
TEST_P(PackedMatMulTest, FloatsAreOneChainPerOutputInAnyBatchOnAnyThreads) {
  constexpr int64_t kRows = 150, kWidth = 51;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t cols : {7, 256, 563}) {
      const RandomMatrix w(dtype, kWidth, cols, 31);
      const std::vector<float> x = RandomFloats(kRows * cols, 32);
      const std::vector<float> bias = RandomFloats(kWidth, 33);
      OpsOptions options;
      options.isa = GetParam();
      options.quantize_activations = false;
      for (const int num_threads : {1, 3}) {
        options.num_threads = num_threads;
        const std::unique_ptr<Ops> threaded = *Ops::Create(options);
        if (threaded->PackedBytes(w.view) == 0) continue;  // pairs of BF16 round x
        const PackedMatrix packed(*threaded, w.view);
        const std::vector<float> unbiased =
            Multiply(*threaded, x, kRows, packed.view(), nullptr, Precision::kLow);
        EXPECT_LT(LargestError(unbiased, x, kRows, w.view), 4e-6)
            << GetDTypeInfo(dtype).name << " cols=" << cols;
        for (const int64_t batch : {1, 2, 3, 4, 7, 13, 128, 150}) {
          std::vector<float> out(kRows * kWidth);
          for (int64_t i = 0; i < kRows; i += batch) {
            threaded->MatMul(x.data() + i * cols, std::min(batch, kRows - i),
                             {{packed.view(), bias.data(), out.data() + i * kWidth}},
                             Precision::kLow);
          }
          for (int64_t i = 0; i < kRows * kWidth; ++i) {
            ASSERT_EQ(out[i], unbiased[i] + bias[i % kWidth])
                << GetDTypeInfo(dtype).name << " cols=" << cols << " batch=" << batch;
          }
        }
      }
    }
  }
}

TEST_P(PackedMatMulTest, RoundsActivationsOnlyWhenAsked) {
  for (const DType dtype : kAllDTypes) {
    const RandomMatrix w(dtype, 16, 256, 1);
    EXPECT_GT(ops().PackedBytes(w.view), 0) << GetDTypeInfo(dtype).name;
  }
  OpsOptions options;
  options.isa = GetParam();
  options.quantize_activations = false;
  const auto exact = Ops::Create(options);
  ASSERT_TRUE(exact.ok());
  EXPECT_EQ((*exact)->PackedBytes(RandomMatrix(DType::kQ4_1, 16, 64, 1).view), 0);
  EXPECT_GT((*exact)->PackedBytes(RandomMatrix(DType::kF16, 16, 64, 1).view), 0);
}

}  // namespace
}  // namespace tandem
