#include "server/bench/openai_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Outcome = RequestRecord::Outcome;

struct Event {
  double ms;
  std::string data;
};

RequestRecord Read(const std::vector<Event>& events, bool is_complete = true) {
  OpenAiStream stream;
  for (const Event& event : events) stream.OnEvent(event.data, absl::Milliseconds(event.ms));
  RequestRecord record;
  stream.Finish(is_complete, record);
  return record;
}

std::string Text(const std::string& text) {
  return R"({"choices":[{"index":0,"text":")" + text + R"("}],"usage":null})";
}

std::string Content(const std::string& text) {
  return R"({"choices":[{"index":0,"delta":{"content":")" + text + R"("}}]})";
}

constexpr char kUsage[] =
    R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}})";

TEST(OpenAiStreamTest, TimesTheTokensOfACompletion) {
  const RequestRecord record =
      Read({{10, Text("a")}, {30, Text("b")}, {35, Text("c")}, {36, kUsage}, {36, "[DONE]"}});
  EXPECT_EQ(record.outcome, Outcome::kServed);
  EXPECT_EQ(record.ttft, absl::Milliseconds(10));
  EXPECT_EQ(record.latency, absl::Milliseconds(35));
  EXPECT_THAT(record.token_gaps_ms, ElementsAre(20, 5));
  EXPECT_EQ(record.prompt_tokens, 7);
  EXPECT_EQ(record.output_tokens, 3);
  EXPECT_EQ(record.cached_tokens, 4);
}

TEST(OpenAiStreamTest, ARoleIsNoToken) {
  const RequestRecord record =
      Read({{1, R"({"choices":[{"delta":{"role":"assistant","content":""}}]})"},
            {10, Content("a")},
            {14, Content("b")},
            {15, R"({"choices":[{"delta":{},"finish_reason":"stop"}]})"}});
  EXPECT_EQ(record.ttft, absl::Milliseconds(10));
  EXPECT_THAT(record.token_gaps_ms, ElementsAre(4, 1));
  EXPECT_EQ(record.output_tokens, 2);  // chunks with text, for there was no usage
}

TEST(OpenAiStreamTest, ReasoningAndToolCallsAreTokens) {
  EXPECT_EQ(Read({{3, R"({"choices":[{"delta":{"reasoning_content":"hm"}}]})"}}).ttft,
            absl::Milliseconds(3));
  EXPECT_EQ(Read({{1, R"({"choices":[{"delta":{"role":"assistant"}}]})"},
                  {4, R"({"choices":[{"delta":{"tool_calls":[{"index":0}]}}]})"}})
                .ttft,
            absl::Milliseconds(4));
}

TEST(OpenAiStreamTest, AnAnswerWithoutTextBeginsWithItsFirstChunk) {
  const RequestRecord record = Read({{5, Text("")}, {9, Text("")}, {9, kUsage}});
  EXPECT_EQ(record.outcome, Outcome::kServed);
  EXPECT_EQ(record.ttft, absl::Milliseconds(5));
  EXPECT_EQ(record.latency, absl::Milliseconds(9));
}

TEST(OpenAiStreamTest, AnErrorEventFailsTheRequest) {
  const RequestRecord record =
      Read({{5, Text("a")}, {9, R"({"error":{"message":"worker lost"}})"}, {9, "[DONE]"}});
  EXPECT_EQ(record.outcome, Outcome::kFailed);
  EXPECT_EQ(record.error, "worker lost");
}

TEST(OpenAiStreamTest, BrokenAndEmptyStreamsFail) {
  EXPECT_THAT(Read({{5, Text("a")}}, /*is_complete=*/false).error, HasSubstr("broke"));
  EXPECT_THAT(Read({{5, "[DONE]"}}).error, HasSubstr("empty"));
  EXPECT_THAT(Read({{5, "{oops"}}).error, HasSubstr("{oops"));
  EXPECT_THAT(Read({{5, "[1]"}}).error, HasSubstr("no JSON object"));
}

TEST(OpenAiStreamTest, SurvivesFieldsOfOtherTypes) {
  for (const char* event :
       {R"({"choices":7})", R"({"choices":[7]})", R"({"choices":[{"delta":7,"text":7}]})",
        R"({"usage":7})", R"({"usage":{"completion_tokens":"x"}})", R"({"tandem":{"path":1}})",
        R"({"choices":[{"delta":{"tool_calls":7}}]})",
        R"({"usage":{"prompt_tokens_details":[]}})"}) {
    Read({{1, event}, {2, Text("a")}});
  }
}

TEST(OpenAiStreamTest, FindsTheMessageOfAnError) {
  EXPECT_EQ(ErrorMessageOf(R"({"error":{"message":"no"}})"), "no");
  EXPECT_EQ(ErrorMessageOf(R"({"error":"no"})"), "no");
  EXPECT_EQ(ErrorMessageOf("<html>"), "<html>");
  EXPECT_EQ(ErrorMessageOf(std::string(1000, 'x')).size(), 200u);
}

}  // namespace
}  // namespace tandem
