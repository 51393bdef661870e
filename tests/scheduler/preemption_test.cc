// Who loses its blocks to others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/instance_scheduler.h"
#include "tests/scheduler/fake_runner.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::UnixEpoch();

TEST(PreemptionTest, PreemptsTheLastOfTheLowestClassAndLosesNoToken) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 9;
  FakeInstance instance(options);
  std::vector<Request> requests;
  for (uint64_t id = 1; id <= 3; ++id) {
    requests.push_back(MakeRequest(id, 4, 16));
    requests.back().priority = id == 2 ? 1 : 0;
    ASSERT_TRUE(instance.scheduler->Add(requests.back(), kStart).ok());
  }
  while (!instance.Has(RequestId(2), EventKind::kPreempted)) {
    ASSERT_TRUE(instance.Step());
    ASSERT_FALSE(instance.Has(RequestId(3), EventKind::kPreempted)) << "2 is of a lower class";
  }
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(RequestId(1), EventKind::kPreempted));
  for (const Request& request : requests) {
    EXPECT_EQ(instance.TokensOf(request.id), ExpectedOutput(request, 100));
    EXPECT_EQ(instance.EventsOf(request.id, EventKind::kBegun).size(), 1u);
  }
  EXPECT_EQ(instance.NumUnused(), 9);
}

TEST(PreemptionTest, DoesNotPreemptAPromptBeingHandedOff) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 4;
  options.max_num_seqs = 2;
  options.max_num_batched_tokens = 2;
  FakeInstance instance(options);
  const Request local = MakeRequest(1, 3, 12);
  ASSERT_TRUE(instance.scheduler->Add(local, kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.Step());
  Request handed = MakeRequest(2, 8, 12);  // the other two blocks, one token a step
  handed.hand_off = true;
  ASSERT_TRUE(instance.scheduler->Add(handed, kStart).ok());
  while (!instance.Has(local.id, EventKind::kPreempted)) {
    ASSERT_TRUE(instance.Step());
    ASSERT_FALSE(instance.Has(handed.id, EventKind::kToken)) << "was not in the way at all";
  }
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(handed.id, EventKind::kPreempted));
  EXPECT_EQ(instance.NumBlocks(BlockState::kLeasedOut), 2);
  instance.scheduler->Release(handed.id, 0, kStart);
  instance.RunUntilIdle();
  EXPECT_EQ(instance.TokensOf(local.id), ExpectedOutput(local, 100));
}

TEST(PreemptionTest, PreemptsAYoungerPromptBeforeAnOlderDecode) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 4;
  options.max_num_seqs = 2;
  options.max_num_batched_tokens = 2;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 3, 12), kStart).ok());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.Step());
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(2, 7, 1), kStart).ok());
  instance.RunUntilIdle();
  EXPECT_FALSE(instance.Has(RequestId(1), EventKind::kPreempted));
  EXPECT_TRUE(instance.Has(RequestId(2), EventKind::kPreempted));
  EXPECT_EQ(instance.TokensOf(RequestId(2)), ExpectedOutput(MakeRequest(2, 7, 1), 100));
}

TEST(PreemptionTest, SendsEachPromptLogprobOnceInSpiteOfPreemption) {
  InstanceOptions options = SmallOptions();
  options.num_blocks = 7;
  FakeInstance instance(options);
  ASSERT_TRUE(instance.scheduler->Add(MakeRequest(1, 8, 12), kStart).ok());
  Request with_logprobs = MakeRequest(2, 8, 12);
  with_logprobs.sampling.num_prompt_logprobs = 0;
  ASSERT_TRUE(instance.scheduler->Add(with_logprobs, kStart).ok());
  instance.RunUntilIdle();
  ASSERT_TRUE(instance.Has(RequestId(2), EventKind::kPreempted));
  std::vector<int> positions;
  for (const Event& event : instance.EventsOf(RequestId(2), EventKind::kPromptLogprobs)) {
    for (const PromptLogprob& logprob : event.prompt_logprobs) {
      positions.push_back(logprob.position);
    }
  }
  EXPECT_THAT(positions, ElementsAre(1, 2, 3, 4, 5, 6, 7));
}

}  // namespace
}  // namespace tandem
