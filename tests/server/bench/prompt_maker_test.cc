#include "server/bench/prompt_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tandem {
namespace {

using Tokens = std::vector<uint32_t>;

size_t CommonPrefix(const Tokens& a, const Tokens& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

TEST(PromptMakerTest, PromptsHaveTheirLengthAndStayInTheRange) {
  const PromptMaker prompts({.first_token = 10, .last_token = 12, .seed = 1});
  const Tokens tokens = prompts.Tokens({.prompt_tokens = 1000}, 0);
  EXPECT_EQ(tokens.size(), 1000u);
  EXPECT_EQ(*std::min_element(tokens.begin(), tokens.end()), 10u);
  EXPECT_EQ(*std::max_element(tokens.begin(), tokens.end()), 12u);
}

TEST(PromptMakerTest, RequestsAndRunsShareNoPrefix) {
  const TimedRequest request = {.prompt_tokens = 100};
  const PromptMaker one({.seed = 1}), other({.seed = 2});
  EXPECT_EQ(one.Tokens(request, 5), one.Tokens(request, 5));
  EXPECT_LT(CommonPrefix(one.Tokens(request, 5), one.Tokens(request, 6)), 3u);
  EXPECT_LT(CommonPrefix(one.Tokens(request, 5), other.Tokens(request, 5)), 3u);
}

TEST(PromptMakerTest, EqualBlockIdsAreEqualTokens) {
  const PromptMaker prompts({.block_tokens = 16, .seed = 1});
  const Tokens one = prompts.Tokens({.prompt_tokens = 40, .block_ids = {7, 8, 9}}, 0);
  const Tokens other = prompts.Tokens({.prompt_tokens = 45, .block_ids = {7, 8, 10}}, 1);
  EXPECT_EQ(one.size(), 40u);
  EXPECT_GE(CommonPrefix(one, other), 32u);
  EXPECT_LT(CommonPrefix(one, other), 35u);
}

TEST(PromptMakerTest, TextHasAWordForEachToken) {
  const PromptMaker prompts({.seed = 1});
  const std::string text = prompts.Text({.prompt_tokens = 30}, 0);
  EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 29);
  EXPECT_EQ(prompts.Text({.prompt_tokens = 30, .text = "given"}, 0), "given");
}

}  // namespace
}  // namespace tandem
