#include "engine/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/tokenizer/regex_dialect.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Matches(absl::string_view pattern, absl::string_view text) {
  const absl::StatusOr<Regex> regex = Regex::Compile(pattern);
  if (!regex.ok()) return {regex.status().ToString()};
  const absl::StatusOr<std::vector<TextRange>> ranges = regex->FindAll(text);
  if (!ranges.ok()) return {ranges.status().ToString()};
  std::vector<std::string> matches;
  for (const TextRange& range : *ranges) matches.emplace_back(range.Of(text));
  return matches;
}

TEST(RegexTest, MatchesUnicodeClasses) {
  EXPECT_THAT(Matches(R"(\p{L}+|\p{N}{1,3})", "\u00e9a 1234\u0663"),
              ElementsAre("\u00e9a", "123", "4\u0663"));
  EXPECT_THAT(Matches(R"((?i:'s))", "'S '\u017f"), ElementsAre("'S", "'\u017f"));
}

TEST(RegexTest, ReadsWhitespaceAndWordsAsOniguruma) {
  EXPECT_THAT(Matches(R"(\s+)", "a\u3000b\u180ec\u0085"), ElementsAre("\u3000", "\u0085"));
  EXPECT_THAT(Matches(R"([^\s]+)", "a\u180e b"), ElementsAre("a\u180e", "b"));
  EXPECT_THAT(Matches(R"(\w+)", "cafe\u0301-\u203fx"), ElementsAre("cafe\u0301", "\u203fx"));
  EXPECT_THAT(Matches(R"(\W+)", "cafe\u0301-x"), ElementsAre("-"));
  EXPECT_THAT(Matches(R"(\h+)", "xyzAF09"), ElementsAre("AF09"));
}

TEST(RegexTest, MatchesAScriptWithoutItsExtensions) {
  // U+3001 is punctuation of script Common, which Han has among its extensions.
  EXPECT_THAT(Matches(R"(\p{Han}+)", "\u4e00\u3001\u4e01"), ElementsAre("\u4e00", "\u4e01"));
  EXPECT_THAT(Matches(R"([\p{^Latin}]+)", "a\u03b1"), ElementsAre("\u03b1"));
}

TEST(RegexTest, RepeatsAnIntervalFollowedByPlus) {
  EXPECT_THAT(Matches(R"(\p{N}{1,3}+)", "1234567"), ElementsAre("1234567"));
  EXPECT_THAT(Matches(R"((?:ab){2}+b?)", "abababab"), ElementsAre("abababab"));
  EXPECT_THAT(Matches(R"([x]{2}+x)", "xxxxx"), ElementsAre("xxxxx"));
}

TEST(RegexTest, MatchesLineEndsEverywhere) {
  EXPECT_THAT(Matches(R"(\s+$)", "a \nb \n"), ElementsAre(" ", " \n"));
}

TEST(RegexTest, KeepsEmptyMatchesThatDoNotTouchTheOneBefore) {
  const absl::StatusOr<Regex> regex = Regex::Compile(R"((?=(\d{3})+(?!\d)))");
  ASSERT_TRUE(regex.ok()) << regex.status();
  const auto ranges = regex->FindAll("1234567");
  ASSERT_TRUE(ranges.ok());
  ASSERT_EQ(ranges->size(), 2);
  EXPECT_EQ((*ranges)[0].begin, 1);
  EXPECT_EQ((*ranges)[1].begin, 4);
}

TEST(RegexTest, QuotesALiteral) {
  const absl::StatusOr<Regex> regex = Regex::Literal("a.\\E(b");
  ASSERT_TRUE(regex.ok()) << regex.status();
  const auto ranges = regex->FindAll("axa.\\E(b");
  ASSERT_EQ(ranges->size(), 1);
  EXPECT_EQ((*ranges)[0].begin, 2);
}

TEST(RegexTest, NamesTheErrorOfAPattern) {
  EXPECT_THAT(Matches("a(b", ""), ElementsAre(HasSubstr("a(b")));
  EXPECT_THAT(Matches(R"(\p{Klingon})", ""), ElementsAre(HasSubstr("Klingon")));
  EXPECT_THAT(Matches(R"([\p{L}&&[^\p{Han}]])", ""), ElementsAre(HasSubstr("intersection")));
  EXPECT_THAT(Matches(R"([a[bc]])", ""), ElementsAre(HasSubstr("class within a class")));
  EXPECT_THAT(Matches("[a", ""), ElementsAre(HasSubstr("[a")));
  EXPECT_THAT(Matches("\\", ""), ElementsAre(HasSubstr("\\")));
}

TEST(RegexTest, GivesUpOnExponentialPatterns) {
  EXPECT_THAT(Matches("(a|aa)+$", std::string(60, 'a') + "!"),
              ElementsAre(HasSubstr("RESOURCE_EXHAUSTED")));
}

TEST(RegexTest, BacktracksOverLongTexts) {
  const std::string spaces(1 << 20, ' ');
  EXPECT_EQ(Matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces + "x").front().size(), (1 << 20) - 1);
  // Deeper than the JIT's stack: the interpreter takes over.
  EXPECT_EQ(Matches("(?:a|b)*c", std::string(1 << 17, 'a') + "c").front().size(), (1 << 17) + 1);
}

}  // namespace
}  // namespace tandem
