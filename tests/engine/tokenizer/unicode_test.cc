#include "engine/tokenizer/unicode.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

constexpr UnicodeForm kNfc{.compose = true, .compatibility = false};
constexpr UnicodeForm kNfd{.compose = false, .compatibility = false};
constexpr UnicodeForm kNfkc{.compose = true, .compatibility = true};
constexpr UnicodeForm kNfkd{.compose = false, .compatibility = true};

TEST(UnicodeTest, ComposesAndDecomposes) {
  EXPECT_EQ(NormalizeUnicode("caf\u00e9", kNfd), "cafe\u0301");
  EXPECT_EQ(NormalizeUnicode("cafe\u0301", kNfc), "caf\u00e9");
  EXPECT_EQ(NormalizeUnicode("\ufb01 \u2460 \uff21", kNfkc), "fi 1 A");
  EXPECT_EQ(NormalizeUnicode("\ufb01 \u2460 \uff21", kNfc), "\ufb01 \u2460 \uff21");
  EXPECT_EQ(NormalizeUnicode("\u00bd", kNfkd), "1\u20442");
  EXPECT_EQ(NormalizeUnicode("\ud55c", kNfd), "\u1112\u1161\u11ab");
  EXPECT_EQ(NormalizeUnicode("\u1112\u1161\u11ab", kNfc), "\ud55c");
}

TEST(UnicodeTest, OrdersMarksByCombiningClass) {
  EXPECT_EQ(NormalizeUnicode("s\u0307\u0323", kNfc), "\u1e69");
  EXPECT_EQ(NormalizeUnicode("s\u0323\u0307", kNfc), "\u1e69");
}

TEST(UnicodeTest, KeepsItsPaceOnEndlessMarks) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0316";
  const std::string sorted = NormalizeUnicode(text, kNfd);
  EXPECT_EQ(sorted.size(), text.size());
  EXPECT_EQ(sorted.substr(0, 5), "a\u0316\u0316");
  EXPECT_EQ(sorted.substr(sorted.size() - 4), "\u0301\u0301");
}

TEST(UnicodeTest, LowersEachCharacterByItself) {
  EXPECT_EQ(LowercaseUnicode("\u00c9A\u0130\u03a3\u1e9e"), "\u00e9ai\u0307\u03c3\u00df");
}

TEST(UnicodeTest, StripsUnicodeWhitespace) {
  EXPECT_EQ(StripLeadingWhitespace("\u3000 \tx "), "x ");
  EXPECT_EQ(StripTrailingWhitespace(" x\u00a0\n"), " x");
  EXPECT_EQ(StripTrailingWhitespace("\u2003"), "");
}

}  // namespace
}  // namespace tandem
