#include "engine/core/prefix_key.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(PrefixKeysTest, NameEachPrefixOfFullBlocks) {
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5};
  const std::vector<uint64_t> keys = PrefixKeys(7, tokens, 2);
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0], ExtendPrefixKey(7, {1, 2}));
  EXPECT_EQ(keys[1], ExtendPrefixKey(keys[0], {3, 4}));
  EXPECT_NE(keys, PrefixKeys(8, tokens, 2));
  EXPECT_NE(keys[1], PrefixKeys(7, {3, 4, 1, 2}, 2)[1]);
}

// Routers of one release compare keys with workers of another.
TEST(PrefixKeysTest, StayTheSame) {
  EXPECT_EQ(ExtendPrefixKey(0, {0}), 0xE220A8397B1DCDAFu);  // SplitMix64's first output
}

TEST(HashNameTest, TellsNamesApart) {
  EXPECT_EQ(HashName(""), 0u);
  EXPECT_NE(HashName("a"), HashName("b"));
  EXPECT_NE(HashName("ab"), HashName("ba"));
}

}  // namespace
}  // namespace tandem
