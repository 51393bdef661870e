#include "engine/tokenizer/character_map.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/engine/tokenizer/golden_tokenizers.h"

namespace tandem {
namespace {

// The map of the golden "t5" tokeniser, whose rules are in its generator.
std::string GoldenBlob() {
  const golden::Json json = golden::ReadGoldenJson("sp_t5.json");
  std::string blob;
  for (const int byte : json["metadata"]["tokenizer.ggml.precompiled_charsmap"]) {
    blob.push_back(static_cast<char>(byte));
  }
  return blob;
}

TEST(CharacterMapTest, ReplacesTheLongestKnownSequence) {
  const absl::StatusOr<CharacterMap> map = CharacterMap::Parse(GoldenBlob());
  ASSERT_TRUE(map.ok()) << map.status();
  EXPECT_EQ(map->Apply("\ufb01t \uff21\u3000b"), "fit A b");
  EXPECT_EQ(map->Apply("e e\u0301 e\u0301\u0301 e\u0301\u0301\u0301"), "e e E E\u0301");
  EXPECT_EQ(map->Apply("\u200b\u00e8"), "\u00e8");
}

TEST(CharacterMapTest, RefusesSizesThatDoNotFit) {
  const std::string blob = GoldenBlob();
  EXPECT_FALSE(CharacterMap::Parse("").ok());
  EXPECT_FALSE(CharacterMap::Parse("abc").ok());
  EXPECT_FALSE(CharacterMap::Parse(std::string(4, '\0')).ok());
  EXPECT_FALSE(CharacterMap::Parse("\xFF\xFF\xFF\xFFxxxx").ok());
  EXPECT_FALSE(CharacterMap::Parse(blob.substr(0, 100)).ok());
}

TEST(CharacterMapTest, StaysWithinItsBoundsWhateverTheTrieSays) {
  std::mt19937 random(3);
  const std::string blob = GoldenBlob();
  for (int round = 0; round < 300; ++round) {
    std::string broken = blob;
    for (int i = 0; i < 40; ++i) {
      broken[4 + random() % (broken.size() - 4)] = static_cast<char>(random());
    }
    const absl::StatusOr<CharacterMap> map = CharacterMap::Parse(broken);
    if (map.ok()) map->Apply("e\u0301 \ufb01 \u00e9\u3000 text \t\n");
  }
}

}  // namespace
}  // namespace tandem
