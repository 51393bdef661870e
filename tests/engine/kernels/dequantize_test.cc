#include "engine/kernels/cpu/dequantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tests/engine/kernels/isa_test.h"

namespace tandem {
namespace {

// One file of tests/golden/quantised.
struct Golden {
  std::vector<uint8_t> bytes;
  MatrixView matrix;
  std::vector<float> values;

  explicit Golden(DType dtype) {
    const std::string name(GetDTypeInfo(dtype).name);
    std::ifstream file(TANDEM_SOURCE_DIR "/tests/golden/quantised/" + name + ".bin",
                       std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    int32_t shape[2] = {};
    if (bytes.size() > sizeof(shape)) std::memcpy(shape, bytes.data(), sizeof(shape));
    matrix = {bytes.data() + sizeof(shape), dtype, shape[0], shape[1]};
    values.resize(matrix.rows * matrix.cols);
    const size_t needed = sizeof(shape) + matrix.Bytes() + values.size() * sizeof(float);
    if (values.empty() || bytes.size() != needed) {
      ADD_FAILURE() << name << ".bin is missing or has another size";
      values.clear();
      return;
    }
    std::memcpy(values.data(), matrix.Row(matrix.rows), values.size() * sizeof(float));
  }
};

// 1e-6 of the block's largest magnitude: the golden values were evaluated in another order.
void ExpectBlocksNear(absl::Span<const float> expected, absl::Span<const float> actual,
                      int block_size) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t begin = 0; begin < expected.size(); begin += block_size) {
    float largest = 0;
    for (int i = 0; i < block_size; ++i) largest = std::max(largest, std::abs(expected[begin + i]));
    for (size_t i = begin; i < begin + block_size; ++i) {
      ASSERT_NEAR(expected[i], actual[i], 1e-6f * largest) << "element " << i;
    }
  }
}

std::vector<DType> QuantisedTypes() {
  std::vector<DType> types;
  for (const DType dtype : kAllDTypes) {
    if (GetDTypeInfo(dtype).block_size > 1) types.push_back(dtype);
  }
  return types;
}

TEST(DequantizeTest, EveryQuantisedTypeGivesTheValuesOfItsFormat) {
  for (const DType dtype : QuantisedTypes()) {
    SCOPED_TRACE(std::string(GetDTypeInfo(dtype).name));
    const Golden golden(dtype);
    for (int64_t row = 0; row < golden.matrix.rows; ++row) {
      const absl::Span<const float> expected(golden.values.data() + row * golden.matrix.cols,
                                             golden.matrix.cols);
      ExpectBlocksNear(expected, DequantizeRow(golden.matrix, row), GetDTypeInfo(dtype).block_size);
    }
  }
}

using DequantizeKernelTest = IsaTest;
TANDEM_INSTANTIATE_FOR_EACH_ISA(DequantizeKernelTest);

TEST_P(DequantizeKernelTest, EveryQuantisedTypeGivesTheValuesOfItsFormat) {
  for (const DType dtype : QuantisedTypes()) {
    SCOPED_TRACE(std::string(GetDTypeInfo(dtype).name));
    const Golden golden(dtype);
    std::vector<TokenId> rows(golden.matrix.rows);
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<float> actual(golden.values.size());
    ops().Embed(golden.matrix, rows, 1.0f, actual.data());
    ExpectBlocksNear(golden.values, actual, GetDTypeInfo(dtype).block_size);
  }
}

}  // namespace
}  // namespace tandem
