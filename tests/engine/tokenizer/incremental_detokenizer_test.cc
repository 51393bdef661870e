#include "engine/tokenizer/incremental_detokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/tokenizer/utf8.h"
#include "tests/engine/tokenizer/golden_tokenizers.h"

namespace tandem {
namespace {

using testing::ElementsAre;

std::vector<int32_t> Encode(const Tokenizer& tokenizer, const std::string& text) {
  return tokenizer.Encode(text, {.add_special_tokens = false}).value();
}

std::vector<std::string> Deltas(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                                IncrementalDetokenizer::Options options) {
  IncrementalDetokenizer detokenizer(tokenizer, options);
  std::vector<std::string> deltas;
  for (const int32_t id : ids) deltas.push_back(detokenizer.Add(id));
  deltas.push_back(detokenizer.Flush());
  return deltas;
}

TEST(IncrementalDetokenizerTest, HoldsACharacterUntilItsLastByte) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  const std::vector<int32_t> ids = Encode(*tokenizer, "a\u20acb");
  ASSERT_EQ(ids.size(), 5);
  EXPECT_THAT(Deltas(*tokenizer, ids, {}), ElementsAre("a", "", "", "\u20ac", "b", ""));
}

TEST(IncrementalDetokenizerTest, EndsAnUnfinishedCharacterWithOneReplacement) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  std::vector<int32_t> ids = Encode(*tokenizer, "\u20ac");
  ids.pop_back();
  EXPECT_THAT(Deltas(*tokenizer, ids, {}), ElementsAre("", "", "\ufffd"));
  ids.push_back(*tokenizer->FindToken("a"));
  EXPECT_THAT(Deltas(*tokenizer, ids, {}), ElementsAre("", "", "\ufffda", ""));
}

TEST(IncrementalDetokenizerTest, DropsTheFirstSpaceOfASentencePieceText) {
  const auto tokenizer = golden::LoadSentencePiece("llama2");
  const std::vector<int32_t> ids = Encode(*tokenizer, "the the");
  EXPECT_EQ(tokenizer->Decode(ids, true), "the the");
  EXPECT_EQ(tokenizer->TokenBytes(ids[0]), " the");
  EXPECT_THAT(Deltas(*tokenizer, ids, {}), ElementsAre("the", " the", ""));
}

TEST(IncrementalDetokenizerTest, KeepsTheFirstSpaceWhereATextGoesOn) {
  const auto tokenizer = golden::LoadSentencePiece("llama2");
  const std::vector<int32_t> ids = Encode(*tokenizer, "the the");
  EXPECT_THAT(Deltas(*tokenizer, ids, {.at_text_start = false}), ElementsAre(" the", " the", ""));
}

TEST(IncrementalDetokenizerTest, SkipsSpecialTokensOnlyWhenAsked) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  const std::vector<int32_t> ids = Encode(*tokenizer, "a<|im_end|>");
  EXPECT_THAT(Deltas(*tokenizer, ids, {.skip_special = true}), ElementsAre("a", "", ""));
  EXPECT_THAT(Deltas(*tokenizer, ids, {.skip_special = false}), ElementsAre("a", "<|im_end|>", ""));
}

TEST(IncrementalDetokenizerTest, GivesNoTextToIdsOutsideTheVocabulary) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  EXPECT_THAT(Deltas(*tokenizer, {-1, tokenizer->vocab_size(), 1 << 30}, {}),
              ElementsAre("", "", "", ""));
}

// Any ids, also those that no text gives: every delta is valid and the sum is the whole.
TEST(IncrementalDetokenizerTest, AddsUpToTheWholeForRandomTokens) {
  std::mt19937 random(11);
  std::vector<std::unique_ptr<const Tokenizer>> tokenizers;
  for (const auto& name : golden::HuggingFaceNames()) {
    tokenizers.push_back(golden::LoadHuggingFace(name));
  }
  for (const auto& name : golden::SentencePieceNames()) {
    tokenizers.push_back(golden::LoadSentencePiece(name));
  }
  for (const auto& tokenizer : tokenizers) {
    for (int round = 0; round < 50; ++round) {
      std::vector<int32_t> ids(30);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % tokenizer->vocab_size());
      const bool skip_special = round % 2 == 0;
      std::string bytes, sum;
      for (const std::string& delta : Deltas(*tokenizer, ids, {.skip_special = skip_special})) {
        EXPECT_EQ(ReplaceInvalidUtf8(delta), delta);
        sum += delta;
      }
      EXPECT_EQ(sum, tokenizer->Decode(ids, skip_special));
      for (const int32_t id : ids) {
        if (!skip_special || !tokenizer->IsSpecial(id)) bytes += tokenizer->TokenBytes(id);
      }
      // Nothing but leading spaces and separators is lost or added.
      EXPECT_LE(sum.size(), 3 * bytes.size() + ids.size());
    }
  }
}

}  // namespace
}  // namespace tandem
