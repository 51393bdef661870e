#include "engine/runner/step_builder.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StepBuilderTest : public testing::Test {
 protected:
  StepBuilderTest() {
    limits_.vocab_size = 100;
    limits_.max_model_len = 12;
    limits_.num_blocks = 8;
    limits_.block_size = 4;
  }

  // Positions [begin, begin + num_tokens) of a sequence of 10 tokens, the first 8 of them prompt.
  BatchRow Row(int begin, int num_tokens) const {
    BatchRow row;
    row.request = RequestId(77);
    row.tokens = tokens_;
    row.num_prompt_tokens = 8;
    row.begin = begin;
    row.num_tokens = num_tokens;
    row.block_table = blocks_;
    row.sampling = &sampling_;
    return row;
  }

  StepLimits limits_;
  SamplingParams sampling_;
  std::vector<TokenId> tokens_ = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
  std::vector<BlockId> blocks_ = {6, 2, 5};
};

TEST_F(StepBuilderTest, PlacesTokensInTheSlotsOfTheirBlocks) {
  Step step;
  AppendRow(Row(2, 5), 0, limits_, step);
  EXPECT_THAT(step.input.token_ids, ElementsAre(12, 13, 14, 15, 16));
  EXPECT_THAT(step.input.positions, ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(step.input.slots, ElementsAre(26, 27, 8, 9, 10));
  EXPECT_THAT(step.input.logit_rows, IsEmpty());
}

TEST_F(StepBuilderTest, LaysSequencesSideBySide) {
  Step step;
  BatchRow decode = Row(9, 1);
  decode.sample = true;
  AppendRow(decode, 0, limits_, step);
  AppendRow(Row(0, 3), 1, limits_, step);
  ASSERT_EQ(step.input.sequences.size(), 2u);
  EXPECT_EQ(step.input.sequences[0].row_begin, 0);
  EXPECT_EQ(step.input.sequences[0].position_begin, 9);
  EXPECT_EQ(step.input.sequences[1].row_begin, 1);
  EXPECT_EQ(step.input.sequences[1].num_rows, 3);
  EXPECT_EQ(step.input.sequences[1].position_begin, 0);
  EXPECT_EQ(step.input.sequences[1].block_table.data(), blocks_.data());
}

TEST_F(StepBuilderTest, WantsLogitsOfTheLastPositionToSample) {
  Step step;
  AppendRow(Row(0, 4), 0, limits_, step);
  BatchRow last = Row(8, 2);
  last.sample = true;
  AppendRow(last, 1, limits_, step);
  EXPECT_THAT(step.input.logit_rows, ElementsAre(5));
  ASSERT_EQ(step.logit_uses.size(), 1u);
  EXPECT_EQ(step.logit_uses[0].row, 1);
  EXPECT_EQ(step.logit_uses[0].position, 9);
  EXPECT_TRUE(step.logit_uses[0].sample);
}

TEST_F(StepBuilderTest, WantsLogitsBeforeEveryPromptTokenToScore) {
  sampling_.num_prompt_logprobs = 0;
  Step step;
  BatchRow row = Row(5, 5);
  row.sample = true;
  AppendRow(row, 0, limits_, step);
  // Positions 5 and 6 are followed by prompt tokens 6 and 7; 7 and 8 by output; 9 by the new one.
  EXPECT_THAT(step.input.logit_rows, ElementsAre(0, 1, 4));
  EXPECT_FALSE(step.logit_uses[0].sample);
  EXPECT_FALSE(step.logit_uses[1].sample);
  EXPECT_TRUE(step.logit_uses[2].sample);
}

TEST_F(StepBuilderTest, AcceptsAWholeSequence) {
  BatchRow row = Row(0, 10);
  row.sample = true;
  EXPECT_TRUE(CheckRow(row, limits_).ok());
}

TEST_F(StepBuilderTest, RefusesMalformedRowsNamingTheRequest) {
  const std::vector<TokenId> outside = {1, 2, 100};
  const std::vector<TokenId> negative = {1, -1, 3};
  const std::vector<TokenId> thirteen(13, 1);
  const std::vector<BlockId> no_such_block = {1, 8, 2};
  const std::vector<std::pair<std::string, std::function<void(BatchRow&)>>> cases = {
      {"positions [-1", [](BatchRow& row) { row.begin = -1; }},
      {"positions [0, 0)", [](BatchRow& row) { row.num_tokens = 0; }},
      {"positions [0, -3)", [](BatchRow& row) { row.num_tokens = -3; }},
      {"positions [0, 11)", [](BatchRow& row) { row.num_tokens = 11; }},
      {"positions [2147483647", [](BatchRow& row) { row.begin = 2147483647; }},
      {"a prompt of 11", [](BatchRow& row) { row.num_prompt_tokens = 11; }},
      {"position 12 is beyond",
       [&](BatchRow& row) {
         row.tokens = thirteen;
         row.num_tokens = 13;
       }},
      {"no sampling", [](BatchRow& row) { row.sampling = nullptr; }},
      {"cannot sample after position 3", [](BatchRow& row) { row.sample = true; }},
      {"layer plan 2", [](BatchRow& row) { row.layer_plan = 2; }},
      {"token id 100",
       [&](BatchRow& row) {
         row.tokens = outside;
         row.num_tokens = row.num_prompt_tokens = 1;
       }},
      {"token id -1",
       [&](BatchRow& row) {
         row.tokens = negative;
         row.num_tokens = row.num_prompt_tokens = 1;
       }},
      {"position 3 has no block", [](BatchRow& row) { row.block_table = {}; }},
      {"block 8", [&](BatchRow& row) { row.block_table = no_such_block; }},
  };
  for (const auto& [message, spoil] : cases) {
    BatchRow row = Row(0, 4);
    ASSERT_TRUE(CheckRow(row, limits_).ok());
    spoil(row);
    const absl::Status status = CheckRow(row, limits_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(status.message(), HasSubstr(message));
    EXPECT_THAT(status.message(), HasSubstr("request_id=77"));
  }
}

}  // namespace
}  // namespace tandem
