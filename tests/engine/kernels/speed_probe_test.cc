#include "engine/kernels/speed_probe.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/tensor/tensor.h"
#include "tests/engine/kernels/isa_test.h"

namespace tandem {
namespace {

class SpeedProbeTest : public testing::TestWithParam<Isa> {
 protected:
  static std::unique_ptr<SpeedProbe> Create(int num_threads) {
    OpsOptions options;
    options.isa = GetParam();
    options.num_threads = num_threads;
    return *SpeedProbe::Create(options);
  }
};
TANDEM_INSTANTIATE_FOR_EACH_ISA(SpeedProbeTest);

TEST_P(SpeedProbeTest, WorkIsProportionalToRoundsAndThreads) {
  const auto one = Create(1);
  const auto two = Create(2);
  EXPECT_GT(one->MultiplyAddFloats(1), 0);
  EXPECT_EQ(one->MultiplyAddFloats(3), 3 * one->MultiplyAddFloats(1));
  EXPECT_EQ(two->MultiplyAddFloats(1), 2 * one->MultiplyAddFloats(1));
  for (const int bits : {4, 8}) {
    EXPECT_GT(one->MultiplyAddIntegers(1, bits), 0);
    EXPECT_EQ(one->MultiplyAddIntegers(3, bits), 3 * one->MultiplyAddIntegers(1, bits));
    EXPECT_EQ(two->MultiplyAddIntegers(1, bits), 2 * one->MultiplyAddIntegers(1, bits));
  }
}

TEST_P(SpeedProbeTest, ReadsBuffersThatAreNoWholeNumberOfParts) {
  AlignedBuffer<uint8_t> buffer((3 << 20) + 256);
  std::fill_n(buffer.data(), buffer.size(), uint8_t{1});
  const auto probe = Create(2);
  probe->Read({buffer.data(), buffer.size()});
  probe->Read({buffer.data(), 256});
  probe->Read({});
}

TEST(SpeedProbeCreateTest, RefusesCoresThatAreNotThere) {
  OpsOptions options;
  options.cpus = {100000};
  EXPECT_EQ(SpeedProbe::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
