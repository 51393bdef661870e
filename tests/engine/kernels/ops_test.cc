// Every instruction set that this machine has against the double-precision reference, on shapes
// that are multiples of nothing.
#include "engine/kernels/ops.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "engine/core/kv_layout.h"
#include "engine/kernels/cpu/cpu_features.h"
#include "engine/kernels/cpu/dequantize.h"
#include "engine/kernels/cpu/reference_ops.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/isa_test.h"
#include "tests/engine/kernels/random_tensors.h"

namespace tandem {
namespace {

using OpsTest = IsaTest;
TANDEM_INSTANTIATE_FOR_EACH_ISA(OpsTest);

// Relative to the size of what was added up, so that cancellation is no excuse and no trap.
constexpr float kTolerance = 2e-6f;

TEST_P(OpsTest, MatMulOfEveryTypeAgreesWithReference) {
  ReferenceOps reference;
  for (const DType dtype : kAllDTypes) {
    const int block_size = GetDTypeInfo(dtype).block_size;
    for (const int64_t cols : block_size == 1 ? std::vector<int64_t>{1, 15, 16, 47, 301}
                                              : std::vector<int64_t>{block_size, 3 * block_size}) {
      for (const int64_t rows : {1, 2, 5, 19}) {
        const int64_t width = 23;
        const RandomMatrix w(dtype, width, cols, static_cast<uint32_t>(cols));
        const std::vector<float> x = RandomFloats(rows * cols, 1);
        const std::vector<float> bias = RandomFloats(width, 2);
        std::vector<float> expected(rows * width), actual(rows * width);
        reference.MatMul(x.data(), rows, {{w.view, bias.data(), expected.data()}}, Precision::kLow);
        ops().MatMul(x.data(), rows, {{w.view, bias.data(), actual.data()}}, Precision::kLow);
        for (int64_t n = 0; n < width; ++n) {
          const std::vector<float> weights = DequantizeRow(w.view, n);
          for (int64_t i = 0; i < rows; ++i) {
            float magnitude = std::abs(bias[n]);
            for (int64_t k = 0; k < cols; ++k) magnitude += std::abs(weights[k] * x[i * cols + k]);
            ASSERT_NEAR(actual[i * width + n], expected[i * width + n], kTolerance * magnitude)
                << GetDTypeInfo(dtype).name << " cols=" << cols << " rows=" << rows << " n=" << n;
          }
        }
      }
    }
  }
}

TEST_P(OpsTest, EmbedDecodesEveryTypeAndScales) {
  for (const DType dtype : kAllDTypes) {
    const int64_t cols = GetDTypeInfo(dtype).block_size == 1 ? 37 : 512;
    const RandomMatrix table(dtype, 9, cols, 4);
    const std::vector<TokenId> ids = {8, 0, 3, 3};
    for (const float scale : {1.0f, 7.5f}) {
      std::vector<float> out(ids.size() * cols);
      ops().Embed(table.view, ids, scale, out.data());
      for (size_t i = 0; i < ids.size(); ++i) {
        const std::vector<float> expected = DequantizeRow(table.view, ids[i]);
        for (int64_t k = 0; k < cols; ++k) {
          // A minimum may cancel the rest, which reaches 0.1 * 63 * 31 in Q5_K.
          ASSERT_NEAR(out[i * cols + k], expected[k] * scale,
                      2e-7f * std::max(std::abs(expected[k]), 200.0f) * scale)
              << GetDTypeInfo(dtype).name;
        }
      }
    }
  }
}

TEST_P(OpsTest, RmsNormAgreesWithReferenceAlsoInPlace) {
  for (const int64_t cols : {1, 16, 63, 576}) {
    const int64_t rows = 5;
    std::vector<float> x = RandomFloats(rows * cols, 3, 10.0f);
    const std::vector<float> weight = RandomFloats(cols, 4);
    std::vector<float> expected(x.size());
    ReferenceOps().RmsNorm(x.data(), weight.data(), 1e-5f, rows, cols, expected.data());
    ops().RmsNorm(x.data(), weight.data(), 1e-5f, rows, cols, x.data());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], expected[i], kTolerance * 2);
  }
}

TEST_P(OpsTest, RopeRotatesBothPairingsAndLeavesTheRestOfTheHead) {
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighbours}) {
    const int num_heads = 3, head_dim = 22, half = 7, max_position = 40;
    RopeTable table;
    table.rotary_dim = 2 * half;
    table.pairs = pairs;
    table.cos = AlignedBuffer<float>(max_position * half);
    table.sin = AlignedBuffer<float>(max_position * half);
    for (int i = 0; i < max_position * half; ++i) {
      table.cos[i] = std::cos(0.1f * i);
      table.sin[i] = std::sin(0.1f * i);
    }
    const std::vector<int> positions = {0, 39, 5, 5};
    std::vector<float> actual = RandomFloats(positions.size() * num_heads * head_dim, 5);
    const std::vector<float> before = actual;
    std::vector<float> expected = actual;
    ReferenceOps().Rope(table, positions, num_heads, head_dim, expected.data());
    ops().Rope(table, positions, num_heads, head_dim, actual.data());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], kTolerance);
      if (static_cast<int>(i % head_dim) >= 2 * half) {
        ASSERT_EQ(actual[i], before[i]);
      }
    }
  }
}

TEST_P(OpsTest, StoreKvRoundsToNearestEvenInItsSlotOnly) {
  for (const DType dtype : kKvDTypes) {
    const int num_slots = 12, heads = 3, head_dim = 7;
    const int64_t width = heads * head_dim;
    const int64_t bytes = KvHeadBytes(dtype, head_dim) * heads * num_slots;
    std::vector<uint8_t> keys(bytes, 0xab), values(bytes, 0xab);
    std::vector<uint8_t> expected_keys = keys, expected_values = values;
    std::vector<float> k = RandomFloats(3 * width, 6, 100.0f),
                       v = RandomFloats(3 * width, 7, 1e-5f);
    // Ties, subnormals, overflow, infinities, signed zero.
    const float special[] = {1.00048828125f, 1.00146484375f, 6e-8f,       2.9e-8f,
                             65519.9f,       65520.0f,       -1e9f,       INFINITY,
                             -0.0f,          1.00390625f,    1.01171875f, 5.9e-8f};
    std::copy(std::begin(special), std::end(special), k.begin());
    const std::vector<int64_t> slots = {7, 0, 11};
    const LayerKv kv{keys.data(), values.data(), dtype, 4, heads, head_dim};
    const LayerKv expected{expected_keys.data(), expected_values.data(), dtype, 4, heads, head_dim};
    ops().StoreKv(k.data(), v.data(), slots, kv);
    ReferenceOps().StoreKv(k.data(), v.data(), slots, expected);
    EXPECT_EQ(keys, expected_keys) << GetDTypeInfo(dtype).name;
    EXPECT_EQ(values, expected_values) << GetDTypeInfo(dtype).name;
  }
}

TEST_P(OpsTest, QuantisedKvIsWithinHalfAStepAndHidesNothingThatIsNotFinite) {
  const int heads = 2, head_dim = 20;
  const int64_t head_bytes = KvHeadBytes(DType::kI8, head_dim);
  std::vector<float> k = RandomFloats(heads * head_dim, 3, 5.0f), v(k.size(), 0.0f);
  v[head_dim + 7] = INFINITY;
  std::vector<uint8_t> keys(heads * head_bytes), values(heads * head_bytes);
  ops().StoreKv(k.data(), v.data(), {0},
                {keys.data(), values.data(), DType::kI8, 1, heads, head_dim});
  const auto scale_of = [&](const std::vector<uint8_t>& pool, int head) {
    float scale;
    std::memcpy(&scale, pool.data() + head * head_bytes + head_dim, sizeof(scale));
    return scale;
  };
  for (int head = 0; head < heads; ++head) {
    const float scale = scale_of(keys, head);
    for (int d = 0; d < head_dim; ++d) {
      const auto stored = static_cast<int8_t>(keys[head * head_bytes + d]);
      EXPECT_NEAR(stored * scale, k[head * head_dim + d], 0.5001f * scale);
    }
  }
  EXPECT_EQ(scale_of(values, 0), 0.0f);
  EXPECT_TRUE(std::isnan(scale_of(values, 1)));
}

TEST_P(OpsTest, AttentionAgreesWithReference) {
  struct Case {
    int heads, kv_heads, head_dim, block_size, window;
    DType dtype;
  };
  const Case cases[] = {
      {9, 3, 64, 16, 0, DType::kF16}, {4, 1, 8, 5, 16, DType::kF32},
      {6, 6, 20, 7, 0, DType::kBF16}, {8, 2, 33, 16, 70, DType::kF32},
      {2, 1, 128, 3, 1, DType::kF16}, {50, 1, 16, 16, 0, DType::kF32},
      {9, 3, 64, 16, 0, DType::kI8},  {4, 2, 33, 5, 40, DType::kI8},
  };
  for (const Case& c : cases) {
    PagedSequence first(c.kv_heads, c.head_dim, c.block_size, c.dtype, 1100, 11);
    AttentionArgs args;
    args.num_heads = c.heads;
    args.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    args.window = c.window;
    args.kv = first.kv();
    const std::vector<AttentionRow> rows = {
        {.row_begin = 0, .num_rows = 70, .position_begin = 0, .block_table = first.block_table()},
        {.row_begin = 70, .num_rows = 1, .position_begin = 199, .block_table = first.block_table()},
        {.row_begin = 71, .num_rows = 33, .position_begin = 63, .block_table = first.block_table()},
        // Over the end of a span, and in the third one.
        {.row_begin = 104,
         .num_rows = 5,
         .position_begin = 510,
         .block_table = first.block_table()},
        {.row_begin = 109,
         .num_rows = 1,
         .position_begin = 1099,
         .block_table = first.block_table()},
    };
    const std::vector<float> q = RandomFloats(int64_t{110} * c.heads * c.head_dim, 12, 3.0f);
    std::vector<float> actual(q.size()), expected(q.size());
    args.q = q.data();
    args.out = expected.data();
    ReferenceOps().Attention(args, rows);
    args.out = actual.data();
    ops().Attention(args, rows);
    // Values are at most 1, weights sum to 1.
    for (size_t i = 0; i < q.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], 5e-6f) << c.heads << " heads of " << c.head_dim;
    }
  }
}

TEST_P(OpsTest, ActivationsAreAccurateOverTheWholeRange) {
  std::vector<float> x = {0.0f, -0.0f, 1e-30f, -1e-30f, 88.8f, -87.0f, 1000.0f, -1000.0f, -3e38f};
  for (const float v : RandomFloats(5000, 8, 20.0f)) x.push_back(v);
  for (const float v : RandomFloats(5000, 9, 0.5f)) x.push_back(v);
  const std::vector<float> up = RandomFloats(x.size(), 10);
  std::vector<float> expected(x.size()), actual(x.size());
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    ReferenceOps().GatedActivation(activation, x.data(), up.data(), x.size(), expected.data());
    ops().GatedActivation(activation, x.data(), up.data(), x.size(), actual.data());
    for (size_t i = 0; i < x.size(); ++i) {
      // gelu's own exponent is rounded before exp: its error grows with |x|^3.
      const float relative = activation == Activation::kSilu ? 1e-6f : 2e-5f;
      ASSERT_NEAR(actual[i], expected[i], relative * std::abs(expected[i]) + 1e-34f) << x[i];
    }
  }
}

TEST_P(OpsTest, SoftcapIsAccurateNearZeroAndFar) {
  std::vector<float> x = {0.0f, 1e-20f, -1e-4f, 18.7f, 18.8f, 1e9f, -1e9f, INFINITY, -INFINITY};
  for (const float v : RandomFloats(3000, 8, 120.0f)) x.push_back(v);
  std::vector<float> expected = x;
  ReferenceOps().Softcap(30.0f, expected.size(), expected.data());
  ops().Softcap(30.0f, x.size(), x.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(x[i], expected[i], 5e-7f * std::abs(expected[i]));
  }
}

TEST_P(OpsTest, NotANumberIsNeverHidden) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x(20, 1.0f), ones(20, 1.0f), out(20);
  x[3] = x[19] = nan;
  ops().GatedActivation(Activation::kSilu, x.data(), ones.data(), 20, out.data());
  EXPECT_TRUE(std::isnan(out[3]) && std::isnan(out[19]) && !std::isnan(out[4]));
  ops().RmsNorm(x.data(), ones.data(), 1e-5f, 1, 20, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
  ops().Softcap(30.0f, 20, x.data());
  EXPECT_TRUE(std::isnan(x[3]) && !std::isnan(x[4]));

  PagedSequence sequence(1, 16, 4, DType::kF32, 10, 1);
  AttentionArgs args;
  std::vector<float> q(16, nan);
  args.q = q.data();
  args.out = out.data();
  args.num_heads = 1;
  args.kv = sequence.kv();
  const AttentionRow row{
      .row_begin = 0, .num_rows = 1, .position_begin = 9, .block_table = sequence.block_table()};
  ops().Attention(args, {&row, 1});
  EXPECT_TRUE(std::isnan(out[0]));
}

TEST_P(OpsTest, AddsInPlace) {
  std::vector<float> x = RandomFloats(77, 1);
  const std::vector<float> before = x, y = RandomFloats(77, 2);
  ops().Add(y.data(), 77, x.data());
  for (int i = 0; i < 77; ++i) EXPECT_EQ(x[i], before[i] + y[i]);
}

TEST(OpsCreateTest, AutoTakesTheBestThatTheCpuHas) {
  const auto ops = Ops::Create({});
  ASSERT_TRUE(ops.ok()) << ops.status();
  EXPECT_EQ((*ops)->isa(), BestIsa());
  EXPECT_TRUE(CpuHas(BestIsa()));
}

TEST(OpsCreateTest, MissingInstructionSetListsWhatTheCpuHas) {
  for (const Isa isa : kIsas) {
    if (CpuHas(isa)) continue;
    OpsOptions options;
    options.isa = isa;
    const absl::Status status = Ops::Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("portable"));
  }
}

TEST(OpsCreateTest, ReadsItsOwnNamesAndNamesUnknownOnes) {
  for (const Isa isa : kIsas) {
    EXPECT_EQ(*ParseIsa(IsaName(isa)), isa);
  }
  EXPECT_EQ(*ParseIsa("auto"), Isa::kAuto);
  EXPECT_THAT(std::string(ParseIsa("sse9").status().message()), testing::HasSubstr("sse9"));
}

}  // namespace
}  // namespace tandem
