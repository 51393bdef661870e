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

TEST(PrefillOrderTest, ALongPromptDoesNotHoldUpWhatDecodes) {
  InstanceOptions options = SmallOptions();
  options.max_num_batched_tokens = 32;
  options.prefill_batch_tokens = 10;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 4, 3), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 40, 1), kStart).ok());
  std::vector<std::vector<int>> steps;
  while (instance.Step()) {
    steps.emplace_back();
    for (const BatchRow& row : instance.last_batch_rows) steps.back().push_back(row.num_tokens);
  }
  EXPECT_THAT(steps, ElementsAre(ElementsAre(1, 10), ElementsAre(1, 10), ElementsAre(20)))
      << "with nothing left to decode, all that the budget allows";
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

TEST(PrefillOrderTest, AReplayCostsItsTenantNoSecondPrompt) {
  InstanceOptions options = SmallOptions();
  options.prefill_batch_tokens = 1;
  FakeInstance instance(options);
  const auto add = [&](uint64_t id, uint64_t tenant, int num_prompt_tokens, uint32_t attempt) {
    Request request = MakeRequest(id, num_prompt_tokens, 1);
    request.tenant = tenant;
    request.attempt = attempt;
    ASSERT_TRUE(instance.scheduler->Add(request, kStart).ok());
  };
  add(1, 1, 6, /*attempt=*/0);
  add(1, 1, 6, /*attempt=*/1);
  add(2, 2, 10, 0);
  add(3, 2, 6, 0);
  add(4, 1, 6, 0);  // its tenant has had 6 tokens, the other one 10
  EXPECT_THAT(OrderOfFirstTokens(instance), ElementsAre(2, 1, 4, 3));
}

}  // namespace
}  // namespace tandem
