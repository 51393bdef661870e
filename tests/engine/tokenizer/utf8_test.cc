#include "engine/tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

namespace tandem {
namespace {

TEST(Utf8Test, ReplacesInvalidBytesAsPythonDoes) {
  const std::string r(kReplacementCharacter);
  // Bytes and what Python 3.11's bytes.decode("utf-8", errors="replace") makes of them.
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain", "plain"},
      {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
      {"\xFF", r},
      {"\x80z", r + "z"},
      {"\xC0\xAF", r + r},
      {"\xE2\x82", r},
      {"a\xE2\x82z", "a" + r + "z"},
      {"\xE2\x28\xA1", r + "(" + r},
      {"\xED\xA0\x80", r + r + r},
      {"\xE0\x80\x80", r + r + r},
      {"\xF0\x9F\x98", r},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", r + "\xF0\x9F\x98\x80"},
      {"\xF4\x90\x80\x80", r + r + r + r},
      {"\xF8\x88\x80\x80\x80", r + r + r + r + r},
      {"\xC3", r},
  };
  for (const auto& [bytes, text] : cases) EXPECT_EQ(ReplaceInvalidUtf8(bytes), text);
}

TEST(Utf8Test, AppendsWhatItReads) {
  for (const char32_t code_point : {0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF}) {
    std::string text;
    AppendUtf8(code_point, &text);
    const Utf8Character character = ReadUtf8(text);
    EXPECT_TRUE(character.valid);
    EXPECT_EQ(character.code_point, code_point);
    EXPECT_EQ(character.num_bytes, text.size());
  }
}

TEST(Utf8Test, HoldsBackOnlyAnUnfinishedCharacter) {
  EXPECT_EQ(FinishedUtf8Prefix(""), 0);
  EXPECT_EQ(FinishedUtf8Prefix("ab"), 2);
  EXPECT_EQ(FinishedUtf8Prefix("ab\xE2"), 2);
  EXPECT_EQ(FinishedUtf8Prefix("ab\xE2\x82"), 2);
  EXPECT_EQ(FinishedUtf8Prefix("ab\xE2\x82\xAC"), 5);
  EXPECT_EQ(FinishedUtf8Prefix("\xF0\x9F\x98"), 0);
  EXPECT_EQ(FinishedUtf8Prefix("\xED\xA0"), 2);  // A surrogate can never be completed.
  EXPECT_EQ(FinishedUtf8Prefix("\x80\x80\x80\x80"), 4);
}

TEST(Utf8Test, ReadsAStreamAsTheWhole) {
  std::mt19937 random(7);
  const std::vector<std::string> parts = {"a",    "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                          "\xE2", "\xF0\x9F", "\x80",         "\xFF"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    while (bytes.size() < 12) bytes += parts[random() % parts.size()];
    std::string streamed, pending;
    for (const char byte : bytes) {
      pending.push_back(byte);
      const size_t finished = FinishedUtf8Prefix(pending);
      streamed += ReplaceInvalidUtf8(absl::string_view(pending).substr(0, finished));
      pending.erase(0, finished);
      EXPECT_LE(pending.size(), 3);
    }
    EXPECT_EQ(streamed + ReplaceInvalidUtf8(pending), ReplaceInvalidUtf8(bytes));
  }
}

}  // namespace
}  // namespace tandem
