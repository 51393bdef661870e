// Which prompts share a step, and whose turn it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/fake_runner.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::UnixEpoch();

TEST(PrefillOrderTest, TakesNoFurtherPromptIntoAStepThatKeepsTheDeviceBusy) {
  InstanceOptions options = SmallOptions();
  options.max_num_batched_tokens = 32;
  options.prefill_batch_tokens = 10;
  FakeInstance instance(options);
  for (uint64_t id : {1, 2, 3, 4}) {
    ASSERT_TRUE(instance.scheduler->Add(MakeRequest(id, id == 4 ? 30 : 6, 1), kStart).ok());
  }
  std::vector<std::vector<int>> steps;
  while (instance.Step()) {
    steps.emplace_back();
    for (const BatchRow& row : instance.last_batch_rows) steps.back().push_back(row.num_tokens);
  }
  EXPECT_THAT(steps, ElementsAre(ElementsAre(6, 4), ElementsAre(2, 6, 2), ElementsAre(28)));
}

// Ids in the order in which their first tokens come, one prompt a step.
std::vector<uint64_t> OrderOfFirstTokens(FakeInstance& instance) {
  instance.RunUntilIdle();
  std::vector<uint64_t> ids;
  for (const Event& event : instance.events) {
    if (event.kind == EventKind::kToken && event.index == 0) ids.push_back(event.id.value());
  }
  return ids;
}

TEST(PrefillOrderTest, WhatIsDueFirstGoesFirstWithinItsPriority) {
  InstanceOptions options = SmallOptions();
  options.prefill_batch_tokens = 1;
  FakeInstance instance(options);
  const absl::Duration kDue[] = {absl::InfiniteDuration(), absl::Seconds(3), absl::Seconds(1),
                                 absl::Seconds(2)};
  for (uint64_t id = 1; id <= 4; ++id) {
    Request request = MakeRequest(id, 6, 1);
    request.due = kStart + kDue[id - 1];
    request.priority = id == 4 ? 1 : 0;
    ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  }
  EXPECT_THAT(OrderOfFirstTokens(instance), ElementsAre(3, 2, 1, 4));
}

TEST(PrefillOrderTest, TenantsTakeTurns) {
  InstanceOptions options = SmallOptions();
  options.prefill_batch_tokens = 1;
  FakeInstance instance(options);
  for (uint64_t id = 1; id <= 6; ++id) {
    Request request = MakeRequest(id, 6, 1);
    request.tenant = id <= 4 ? 1 : 2;
    ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  }
  EXPECT_THAT(OrderOfFirstTokens(instance), ElementsAre(1, 5, 2, 6, 3, 4));
}

}  // namespace
}  // namespace tandem
