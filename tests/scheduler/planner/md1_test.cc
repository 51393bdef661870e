#include "scheduler/planner/md1.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

constexpr PrefillQueue kOne = {QueueKind::kOneDevice, 0.2, 1.5};
constexpr PrefillQueue kInter = {QueueKind::kInterOp, 0.2, 1.5};
constexpr PrefillQueue kIntra = {QueueKind::kIntraOp, 0.2, 1.5};

TEST(Md1Test, FormulaeHaveDistServesValues) {
  EXPECT_NEAR(MeanTtft(kOne, 1), .225000, 1e-6);
  EXPECT_NEAR(MeanTtft(kInter, 1), .205556, 1e-6);
  EXPECT_NEAR(MeanTtft(kIntra, 1), .143590, 1e-6);
  EXPECT_NEAR(MeanTtft(kOne, 3), .350000, 1e-6);
  EXPECT_NEAR(MeanTtft(kInter, 3), .221429, 1e-6);
  EXPECT_NEAR(MeanTtft(kIntra, 3), .177778, 1e-6);
  EXPECT_NEAR(MeanTtft(kOne, 4.5), 1.100000, 1e-6);
  EXPECT_NEAR(MeanTtft(kInter, 4.5), .240909, 1e-6);
  EXPECT_NEAR(MeanTtft(kIntra, 4.5), .233333, 1e-6);
}

TEST(Md1Test, BeyondItsCapacityAQueueHasNoMean) {
  EXPECT_TRUE(std::isinf(MeanTtft(kOne, 5)));
  EXPECT_TRUE(std::isinf(MeanTtft(kInter, 10)));
  EXPECT_TRUE(std::isinf(MeanTtft(kIntra, 7.5)));
}

TEST(Md1Test, StagesBeatSplitLayersAboveTheCrossover) {
  EXPECT_NEAR(CrossoverLoad(1.3), 0.610580, 1e-6);
  EXPECT_NEAR(CrossoverLoad(1.5), 0.936059, 1e-6);
  EXPECT_NEAR(CrossoverLoad(1.7), 1.257098, 1e-6);
  EXPECT_NEAR(CrossoverLoad(1.9), 1.625650, 1e-6);
}

// Largest relative error, over the loads of DistServe's check, of the simulated mean.
void ExpectSimulationAgrees(const PrefillQueue& queue, double tolerance, double tolerance_at_90) {
  constexpr int64_t kNumRequests = 2'000'000;
  // Of one device; split layers are so much faster.
  const double unit = queue.kind == QueueKind::kIntraOp ? queue.speedup : 1.0;
  for (double load : {0.3, 0.5, 0.7, 0.9}) {
    const double rate = load * unit / queue.service_time;
    const double formula = MeanTtft(queue, rate);
    const double simulated = SimulatedMeanTtft(queue, rate, kNumRequests, /*seed=*/0);
    EXPECT_NEAR(simulated / formula, 1, load < 0.9 ? tolerance : tolerance_at_90) << load;
  }
}

TEST(Md1Test, ASimulatedDeviceHasTheMeanOfTheFormula) { ExpectSimulationAgrees(kOne, 0.005, 0.02); }

TEST(Md1Test, SimulatedStagesHaveTheMeanOfTheFormula) {
  ExpectSimulationAgrees(kInter, 0.002, 0.002);
}

TEST(Md1Test, ASimulatedSplitLayerHasTheMeanOfTheFormula) {
  ExpectSimulationAgrees(kIntra, 0.005, 0.02);
}

}  // namespace
}  // namespace tandem
