#include "server/cli/step_grid.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(StepGridTest, HasEveryChunkEveryBatchAndSomeOfBoth) {
  const std::vector<StepPoint> grid = MakeStepGrid(
      {.chunks = {16, 64, 128}, .stored = {0, 100}, .batches = {1, 8}, .contexts = {32}});
  int num_chunks = 0, num_batches = 0, num_mixed = 0;
  for (const StepPoint& point : grid) {
    const bool has_chunk = point.chunk_tokens > 0, has_rows = point.num_rows > 0;
    num_chunks += has_chunk && !has_rows;
    num_batches += has_rows && !has_chunk;
    num_mixed += has_chunk && has_rows;
  }
  EXPECT_EQ(num_chunks, 6);
  EXPECT_EQ(num_batches, 2);
  EXPECT_EQ(num_mixed, 2);
}

TEST(StepGridTest, KnowsWhatAStepTakes) {
  const StepPoint point{.chunk_tokens = 20, .chunk_begin = 100, .num_rows = 3, .context = 33};
  EXPECT_EQ(point.NumTokens(), 23);
  EXPECT_EQ(point.MaxLength(), 120);
  EXPECT_EQ(point.NumBlocks(16), 8 + 3 * 3);
  const StepShape shape = point.Shape();
  EXPECT_EQ(shape.prefill_squares, 120 * 120 - 100 * 100);
  EXPECT_EQ(shape.decode_context, 99);
}

TEST(StepGridTest, NumbersAreReadOrNamed) {
  EXPECT_EQ(*ParseNumbers("1, 2,30", 1), (std::vector<int>{1, 2, 30}));
  for (const char* text : {"0", "1,x", "-3", "1.5", "99999999999"}) {
    EXPECT_EQ(ParseNumbers(text, 1).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace tandem
