#include "server/gateway/stop_matcher.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

namespace tandem {
namespace {

TEST(StopMatcherTest, HoldsBackWhatMayBecomeAStopString) {
  StopMatcher matcher({"\n\n", "User:"}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("Hello\n").text, "Hello");
  EXPECT_EQ(matcher.Append("Us").text, "\n");
  EXPECT_EQ(matcher.Append("age").text, "Usage");
}

TEST(StopMatcherTest, CutsTheTextBeforeTheStopString) {
  StopMatcher matcher({"STOP"}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("go ST").text, "go ");
  const StopMatcher::Output output = matcher.Append("OP on");
  EXPECT_EQ(output.text, "");
  EXPECT_EQ(output.matched, "STOP");
}

TEST(StopMatcherTest, IncludesTheStopStringWhenAsked) {
  StopMatcher matcher({"."}, /*include_in_output=*/true);
  const StopMatcher::Output output = matcher.Append("one. two");
  EXPECT_EQ(output.text, "one.");
  EXPECT_EQ(output.matched, ".");
}

TEST(StopMatcherTest, FindsAStopStringThatOverlapsItsOwnStart) {
  StopMatcher matcher({"aab"}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("aaaa").text, "aa");
  const StopMatcher::Output output = matcher.Append("b");
  EXPECT_EQ(output.text, "");
  EXPECT_EQ(output.matched, "aab");
}

TEST(StopMatcherTest, GivesOutTheRestAtTheEnd) {
  StopMatcher matcher({"END"}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("the EN").text, "the ");
  EXPECT_EQ(matcher.Flush(), "EN");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopMatcherTest, LooksPastTextThatMustNotMatch) {
  StopMatcher matcher({"ab"}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("ab a", /*may_match=*/false).text, "ab a");
  const StopMatcher::Output across = matcher.Append("b");
  EXPECT_EQ(across.text, "b") << "no part of a stop string may come before min_tokens";
  EXPECT_FALSE(across.matched.has_value());
  EXPECT_TRUE(matcher.Append("ab").matched.has_value());
}

TEST(StopMatcherTest, PassesEverythingThroughWithoutStopStrings) {
  StopMatcher matcher({"", ""}, /*include_in_output=*/false);
  EXPECT_EQ(matcher.Append("anything").text, "anything");
}

// The definition: the first byte at which a stop string is complete, the longest one there.
StopMatcher::Output Naive(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<std::string> longest;
    for (const std::string& stop : stops) {
      const bool ends_here =
          stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0;
      if (ends_here && (!longest || stop.size() > longest->size())) longest = stop;
    }
    if (longest) return {.text = text.substr(0, end - longest->size()), .matched = longest};
  }
  return {.text = text, .matched = std::nullopt};
}

TEST(StopMatcherTest, AgreesWithASearchOfTheWholeTextHoweverItIsCut) {
  std::mt19937 random(7);
  const auto random_text = [&random](size_t max_length) {
    std::string text;
    for (size_t i = 0, n = 1 + random() % max_length; i < n; ++i) text += "abc"[random() % 3];
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 0, n = 1 + random() % 3; i < n; ++i) stops.push_back(random_text(5));
    const std::string text = random_text(30);
    const StopMatcher::Output expected = Naive(text, stops);

    StopMatcher matcher(stops, /*include_in_output=*/false);
    StopMatcher::Output total;
    for (size_t begin = 0; begin < text.size() && !total.matched;) {
      const size_t size = 1 + random() % 4;
      StopMatcher::Output piece = matcher.Append(text.substr(begin, size));
      total.text += piece.text;
      total.matched = piece.matched;
      ASSERT_EQ(expected.text.compare(0, total.text.size(), total.text), 0)
          << "showed text that was not final: " << total.text << " of " << text;
      begin += size;
    }
    if (!total.matched) total.text += matcher.Flush();
    ASSERT_EQ(total.text, expected.text) << text;
    ASSERT_EQ(total.matched, expected.matched) << text;
  }
}

}  // namespace
}  // namespace tandem
