// What a row gets must not depend on its company: bits are compared, not numbers.
#include <cmath>
#include <cstring>

#include "gtest/gtest.h"
#include "tests/engine/kernels/isa_test.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

using BatchInvarianceTest = IsaTest;
TANDEM_INSTANTIATE_FOR_EACH_ISA(BatchInvarianceTest);

testing::AssertionResult SameBits(const float* a, const float* b, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    if (std::memcmp(a + i, b + i, sizeof(float)) != 0) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

TEST_P(BatchInvarianceTest, MatMulOfOneRowEqualsThatRowInAnyBatchOnAnyThreads) {
  constexpr int64_t kRows = 67, kWidth = 51;
  for (const DType dtype : kAllDTypes) {
    const int64_t cols = GetDTypeInfo(dtype).block_size == 1 ? 83 : 512;
    const RandomMatrix w(dtype, kWidth, cols, 21);
    const std::vector<float> x = RandomFloats(kRows * cols, 22);
    const std::vector<float> bias = RandomFloats(kWidth, 23);
    std::vector<float> alone(kRows * kWidth);
    const std::unique_ptr<Ops> one_thread = MakeOps(GetParam(), 1);
    for (int64_t i = 0; i < kRows; ++i) {
      one_thread->MatMul(x.data() + i * cols, 1, {{w.view, bias.data(), alone.data() + i * kWidth}},
                         Precision::kLow);
    }
    for (const int num_threads : {1, 2, 3}) {
      const std::unique_ptr<Ops> threaded = MakeOps(GetParam(), num_threads);
      for (const int64_t batch : {1, 2, 3, 4, 5, 6, 7, 12, 67}) {
        std::vector<float> together(kRows * kWidth);
        for (int64_t i = 0; i < kRows; i += batch) {
          threaded->MatMul(x.data() + i * cols, std::min(batch, kRows - i),
                           {{w.view, bias.data(), together.data() + i * kWidth}}, Precision::kLow);
        }
        ASSERT_TRUE(SameBits(alone.data(), together.data(), kRows * kWidth))
            << GetDTypeInfo(dtype).name << " batch=" << batch << " threads=" << num_threads;
      }
    }
  }
}

// A weight too large for one panel of decoded rows.
TEST_P(BatchInvarianceTest, MatMulDoesNotShowWhereItsPanelsEnd) {
  constexpr int64_t kRows = 9, kWidth = 60, kCols = 4096;
  const RandomMatrix w(DType::kQ4_1, kWidth, kCols, 24);
  const std::vector<float> x = RandomFloats(kRows * kCols, 25);
  std::vector<float> alone(kRows * kWidth), together(kRows * kWidth);
  for (int64_t i = 0; i < kRows; ++i) {
    ops().MatMul(x.data() + i * kCols, 1, {{w.view, nullptr, alone.data() + i * kWidth}},
                 Precision::kLow);
  }
  ops().MatMul(x.data(), kRows, {{w.view, nullptr, together.data()}}, Precision::kLow);
  EXPECT_TRUE(SameBits(alone.data(), together.data(), kRows * kWidth));
}

TEST_P(BatchInvarianceTest, AttentionDoesNotShowWhereThePromptWasCut) {
  struct Case {
    int heads, kv_heads, head_dim, block_size, window;
  };
  constexpr int kTokens = 197;
  for (const Case& c : {Case{9, 3, 64, 16, 0}, Case{4, 1, 24, 5, 16}, Case{3, 3, 33, 64, 70}}) {
    for (const DType dtype : kKvDTypes) {
      const PagedSequence sequence(c.kv_heads, c.head_dim, c.block_size, dtype, kTokens, 31);
      const int64_t width = int64_t{c.heads} * c.head_dim;
      const std::vector<float> q = RandomFloats(kTokens * width, 32, 2.0f);
      const auto run = [&](Ops& ops, int chunk) {
        std::vector<float> out(q.size());
        for (int begin = 0; begin < kTokens; begin += chunk) {
          AttentionArgs args;
          args.q = q.data() + begin * width;
          args.out = out.data() + begin * width;
          args.num_heads = c.heads;
          args.scale = 0.2f;
          args.window = c.window;
          args.kv = sequence.kv();
          const AttentionRow row{.row_begin = 0,
                                 .num_rows = std::min(chunk, kTokens - begin),
                                 .position_begin = begin,
                                 .block_table = sequence.block_table()};
          ops.Attention(args, {&row, 1});
        }
        return out;
      };
      const std::vector<float> decoded = run(*MakeOps(GetParam(), 1), 1);
      for (const int num_threads : {1, 2, 3}) {
        const std::unique_ptr<Ops> threaded = MakeOps(GetParam(), num_threads);
        for (const int chunk : {kTokens, 64, 50, 7}) {
          ASSERT_TRUE(SameBits(decoded.data(), run(*threaded, chunk).data(), q.size()))
              << GetDTypeInfo(dtype).name << " chunk=" << chunk << " threads=" << num_threads;
        }
      }
    }
  }
}

// Alone on several threads a long sequence is split by span; in company, or on one thread, it is
// not.
TEST_P(BatchInvarianceTest, AttentionDoesNotShowHowThreadsShareALongSequence) {
  constexpr int kTokens = 1300, kHeads = 6, kKvHeads = 2, kHeadDim = 32;
  constexpr int64_t kWidth = kHeads * kHeadDim;
  for (const DType dtype : kKvDTypes) {
    for (const int window : {0, 700}) {
      const PagedSequence sequence(kKvHeads, kHeadDim, 16, dtype, kTokens, 33);
      const std::vector<float> q = RandomFloats(kTokens * kWidth, 34, 2.0f);
      const auto run = [&](Ops& ops, int begin, int num_rows) {
        std::vector<float> out(num_rows * kWidth);
        AttentionArgs args;
        args.q = q.data() + begin * kWidth;
        args.out = out.data();
        args.num_heads = kHeads;
        args.window = window;
        args.kv = sequence.kv();
        const AttentionRow row{
            .num_rows = num_rows, .position_begin = begin, .block_table = sequence.block_table()};
        ops.Attention(args, {&row, 1});
        return out;
      };
      const std::vector<float> whole = run(*MakeOps(GetParam(), 1), 0, kTokens);
      for (const int num_threads : {1, 2, 4}) {
        const std::unique_ptr<Ops> ops = MakeOps(GetParam(), num_threads);
        for (const int position : {511, 512, 1023, 1211, 1299}) {
          EXPECT_TRUE(
              SameBits(whole.data() + position * kWidth, run(*ops, position, 1).data(), kWidth))
              << GetDTypeInfo(dtype).name << " position=" << position << " threads=" << num_threads;
        }
        EXPECT_TRUE(SameBits(whole.data() + 1018 * kWidth, run(*ops, 1018, 9).data(), 9 * kWidth));
      }
    }
  }
}

TEST_P(BatchInvarianceTest, AttentionDoesNotShowWhichBlocksOrNeighboursASequenceHas) {
  const PagedSequence here(2, 32, 16, DType::kF16, 90, 41);
  // The same K and V in other blocks of another size.
  PagedSequence there(2, 32, 7, DType::kF16, 90, 41);
  const std::vector<float> q = RandomFloats(90 * 4 * 32, 42);
  std::vector<float> one(q.size()), two(q.size());
  AttentionArgs args;
  args.q = q.data();
  args.num_heads = 4;
  args.out = one.data();
  args.kv = here.kv();
  AttentionRow row{
      .row_begin = 0, .num_rows = 90, .position_begin = 0, .block_table = here.block_table()};
  ops().Attention(args, {&row, 1});
  args.out = two.data();
  args.kv = there.kv();
  row.block_table = there.block_table();
  const AttentionRow halves[] = {
      {.row_begin = 40, .num_rows = 50, .position_begin = 40, .block_table = there.block_table()},
      {.row_begin = 0, .num_rows = 40, .position_begin = 0, .block_table = there.block_table()}};
  ops().Attention(args, halves);
  EXPECT_TRUE(SameBits(one.data(), two.data(), q.size()));
}

TEST_P(BatchInvarianceTest, ElementwiseWorkDoesNotShowWhereItWasCut) {
  constexpr int64_t kSize = 50021;
  const std::vector<float> gate = RandomFloats(kSize, 51, 9.0f), up = RandomFloats(kSize, 52);
  std::vector<float> whole(kSize), parts(kSize);
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    ops().GatedActivation(activation, gate.data(), up.data(), kSize, whole.data());
    for (int64_t i = 0; i < kSize; i += 37) {
      ops().GatedActivation(activation, gate.data() + i, up.data() + i,
                            std::min<int64_t>(37, kSize - i), parts.data() + i);
    }
    EXPECT_TRUE(SameBits(whole.data(), parts.data(), kSize));
  }
  whole = parts = gate;
  ops().Softcap(5.0f, kSize, whole.data());
  for (int64_t i = 0; i < kSize; i += 37) {
    ops().Softcap(5.0f, std::min<int64_t>(37, kSize - i), parts.data() + i);
  }
  EXPECT_TRUE(SameBits(whole.data(), parts.data(), kSize));
}

TEST_P(BatchInvarianceTest, RmsNormOfManyRowsEqualsRowByRow) {
  constexpr int64_t kRows = 300, kCols = 101;
  const std::vector<float> x = RandomFloats(kRows * kCols, 61), weight = RandomFloats(kCols, 62);
  std::vector<float> whole(x.size()), parts(x.size());
  ops().RmsNorm(x.data(), weight.data(), 1e-6f, kRows, kCols, whole.data());
  for (int64_t i = 0; i < kRows; ++i) {
    ops().RmsNorm(x.data() + i * kCols, weight.data(), 1e-6f, 1, kCols, parts.data() + i * kCols);
  }
  EXPECT_TRUE(SameBits(whole.data(), parts.data(), x.size()));
}

// Workers with AVX2 and with AVX-512 may serve one request one after the other.
TEST(IsaAgreementTest, Avx2AndAvx512GiveTheSameBits) {
  if (!CpuHas(Isa::kAvx2) || !CpuHas(Isa::kAvx512)) GTEST_SKIP() << "needs both";
  const std::unique_ptr<Ops> avx2 = MakeOps(Isa::kAvx2, 1), avx512 = MakeOps(Isa::kAvx512, 1);
  constexpr int64_t kRows = 11, kWidth = 21;
  for (const DType dtype : kAllDTypes) {
    const int64_t cols = GetDTypeInfo(dtype).block_size == 1 ? 83 : 512;
    const RandomMatrix w(dtype, kWidth, cols, 71);
    const std::vector<float> x = RandomFloats(kRows * cols, 72);
    std::vector<float> a(kRows * kWidth), b(kRows * kWidth);
    avx2->MatMul(x.data(), kRows, {{w.view, nullptr, a.data()}}, Precision::kLow);
    avx512->MatMul(x.data(), kRows, {{w.view, nullptr, b.data()}}, Precision::kLow);
    EXPECT_TRUE(SameBits(a.data(), b.data(), kRows * kWidth)) << GetDTypeInfo(dtype).name;
  }
  const std::vector<float> q = RandomFloats(600 * 4 * 40, 74);
  for (const DType dtype : kKvDTypes) {
    const PagedSequence sequence(2, 40, 16, dtype, 600, 73);
    std::vector<float> a(q.size()), b(q.size());
    AttentionArgs args;
    args.q = q.data();
    args.num_heads = 4;
    args.kv = sequence.kv();
    const AttentionRow row{.num_rows = 600, .block_table = sequence.block_table()};
    args.out = a.data();
    avx2->Attention(args, {&row, 1});
    args.out = b.data();
    avx512->Attention(args, {&row, 1});
    EXPECT_TRUE(SameBits(a.data(), b.data(), q.size())) << GetDTypeInfo(dtype).name;
  }
}

}  // namespace
}  // namespace tandem
