#include "scheduler/sim/trace_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kMooncake[] =
    R"({"timestamp": 27000, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 27482, "input_length": 512, "output_length": 1, "hash_ids": [46], "extra": {"a": 1}}

{"timestamp": 30000.5, "input_length": 7, "output_length": 0}
)";

std::string ErrorOf(const std::string& content) {
  const auto workload = ReadTrace(content, {});
  return workload.ok() ? "none" : std::string(workload.status().message());
}

TEST(TraceReaderTest, ReadsMooncakesLines) {
  const Workload workload = ReadTrace(kMooncake, {}).value();
  ASSERT_EQ(workload.requests.size(), 3u);
  EXPECT_TRUE(workload.has_arrivals);
  EXPECT_EQ(workload.requests[0].arrival, absl::ZeroDuration());
  EXPECT_EQ(workload.requests[1].arrival, absl::Milliseconds(482));
  EXPECT_EQ(workload.requests[0].prompt_tokens, 1100);
  EXPECT_EQ(workload.requests[0].output_tokens, 52);
  EXPECT_THAT(workload.requests[0].block_ids, ElementsAre(46, 47, 48));
  EXPECT_TRUE(workload.requests[2].block_ids.empty());
  EXPECT_EQ(workload.requests[2].output_tokens, 1);
}

TEST(TraceReaderTest, SortsByArrivalAndStopsAtTheLimit) {
  const std::string content =
      R"({"timestamp": 900, "input_length": 1, "output_length": 1}
{"timestamp": 400, "input_length": 2, "output_length": 1}
{"timestamp": 100, "input_length": 3, "output_length": 1})";
  const Workload workload = ReadTrace(content, {.max_requests = 2}).value();
  ASSERT_EQ(workload.requests.size(), 2u);
  EXPECT_EQ(workload.requests[0].prompt_tokens, 2);
  EXPECT_EQ(workload.Length(), absl::Milliseconds(500));
}

TEST(TraceReaderTest, WritesAndReadsOurOwnFields) {
  const TimedRequest request = {.arrival = absl::Milliseconds(5),
                                .prompt_tokens = 600,
                                .output_tokens = 3,
                                .block_ids = {1, 18446744073709551615u},
                                .slo_class = "chat",
                                .tenant = "a \"quoted\" one",
                                .model = "m",
                                .priority = -2,
                                .deadline = absl::Milliseconds(1500)};
  const std::string lines = R"({"timestamp": 0, "input_length": 1, "output_length": 1})"
                            "\n" +
                            TraceLine(request) + "\n";
  const Workload workload = ReadTrace(lines, {}).value();
  const TimedRequest& read = workload.requests[1];
  EXPECT_EQ(read.arrival, request.arrival);
  EXPECT_EQ(read.block_ids, request.block_ids);
  EXPECT_EQ(read.slo_class, "chat");
  EXPECT_EQ(read.tenant, "a \"quoted\" one");
  EXPECT_EQ(read.model, "m");
  EXPECT_EQ(read.priority, -2);
  EXPECT_EQ(read.deadline, absl::Milliseconds(1500));
}

TEST(TraceReaderTest, RefusesHostileLinesByNumber) {
  const std::string good = R"({"timestamp": 1, "input_length": 1, "output_length": 1})";
  struct Case {
    std::string line, reason;
  };
  for (const Case& bad : {
           Case{"{", "line 2: no JSON object"},
           Case{"[1]", "line 2: no JSON object"},
           Case{R"({"input_length": 1, "output_length": 1})", "`timestamp` is missing"},
           Case{R"({"timestamp": "1", "input_length": 1, "output_length": 1})", "`timestamp`"},
           Case{R"({"timestamp": -1, "input_length": 1, "output_length": 1})", "`timestamp` is -1"},
           Case{R"({"timestamp": 1e300, "input_length": 1, "output_length": 1})", "`timestamp`"},
           Case{R"({"timestamp": 1, "input_length": -7, "output_length": 1})", "`input_length`"},
           Case{R"({"timestamp": 1, "input_length": 1e12, "output_length": 1})", "`input_length`"},
           Case{R"({"timestamp": 1, "input_length": 1, "output_length": null})", "`output_length`"},
           Case{R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[1,2]})",
                "2 `hash_ids` of 512 tokens do not cover an `input_length` of 1"},
           Case{R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":[-1]})",
                "no natural number"},
           Case{R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":7})", "no list"},
           Case{R"({"timestamp":1,"input_length":1,"output_length":1,"tenant":7})", "no string"},
           Case{std::string(100000, '['), "line 2: no JSON object"},
       }) {
    EXPECT_THAT(ErrorOf(good + "\n" + bad.line), HasSubstr(bad.reason)) << bad.line.substr(0, 80);
  }
}

TEST(TraceReaderTest, ReadsAzuresFilesOfBothYears) {
  const Workload workload = ReadTrace(
                                "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
                                "2023-11-16 18:17:03.9799600,4808,10\r\n"
                                "2023-11-16 18:17:04.0319600,3180,8\r\n",
                                {})
                                .value();
  ASSERT_EQ(workload.requests.size(), 2u);
  EXPECT_EQ(workload.requests[1].arrival, absl::Milliseconds(52));
  EXPECT_EQ(workload.requests[0].prompt_tokens, 4808);
  EXPECT_TRUE(workload.requests[0].block_ids.empty());
  const Workload later = ReadTrace(
                             "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                             "2024-05-10 00:00:00.009930+00:00,2162,5\n"
                             "2024-05-10 00:00:00.017335+00:00,2399,6\n",
                             {})
                             .value();
  EXPECT_EQ(later.requests[1].arrival, absl::Microseconds(7405));
}

TEST(TraceReaderTest, RefusesBadRowsOfACsvByNumber) {
  const std::string head = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  EXPECT_THAT(ErrorOf(head + "2023-11-16 18:17:03.97,1\n"), HasSubstr("line 2: expected three"));
  EXPECT_THAT(ErrorOf(head + "yesterday,1,1\n"), HasSubstr("\"yesterday\" is no time"));
  EXPECT_THAT(ErrorOf(head + "2023-11-16 18:17:03.97,many,1\n"), HasSubstr("\"many\""));
  EXPECT_THAT(ErrorOf(head + "2023-11-16 18:17:03.97,1,-1\n"), HasSubstr("\"-1\""));
}

std::string Conversation(int question_bytes, int answer_bytes) {
  return R"({"id":"x","conversations":[{"from":"human","value":")" +
         std::string(question_bytes, 'q') + R"("},{"from":"gpt","value":")" +
         std::string(answer_bytes, 'a') + R"("}]})";
}

TEST(TraceReaderTest, TakesTheFirstTwoTurnsOfUsableConversations) {
  const std::string content = "[" + Conversation(400, 80) + "," + Conversation(8, 80) + "," +
                              Conversation(400, 8) + "," + Conversation(5000, 80) + "," +
                              Conversation(4000, 8000) + R"(,{"conversations":[]},7,{}])";
  const Workload workload = ReadTrace(content, {}).value();
  ASSERT_EQ(workload.requests.size(), 1u);
  EXPECT_FALSE(workload.has_arrivals);
  EXPECT_EQ(workload.requests[0].prompt_tokens, 100);
  EXPECT_EQ(workload.requests[0].output_tokens, 20);
  EXPECT_EQ(workload.requests[0].text, std::string(400, 'q'));
}

TEST(TraceReaderTest, CountsTokensAsItIsTold) {
  TraceOptions options;
  options.count_tokens = [](absl::string_view text) { return static_cast<int>(text.size()); };
  const Workload workload = ReadTrace("[" + Conversation(400, 80) + "]", options).value();
  EXPECT_EQ(workload.requests[0].prompt_tokens, 400);
  options.count_tokens = [](absl::string_view) { return absl::UnavailableError("no server"); };
  EXPECT_EQ(ReadTrace("[" + Conversation(400, 80) + "]", options).status().message(), "no server");
}

TEST(TraceReaderTest, TheSeedShufflesConversations) {
  std::string content = "[";
  for (int i = 0; i < 50; ++i) content += (i ? "," : "") + Conversation(400 + 4 * i, 80);
  content += "]";
  const auto first = [&](uint64_t seed) {
    return ReadTrace(content, {.max_requests = 1, .seed = seed}).value().requests[0].prompt_tokens;
  };
  EXPECT_EQ(first(1), first(1));
  EXPECT_TRUE(first(1) != first(2) || first(1) != first(3));
}

TEST(TraceReaderTest, RefusesWhatIsNoTrace) {
  EXPECT_THAT(ErrorOf("hello"), HasSubstr("neither"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("neither"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("no request"));
  EXPECT_THAT(ErrorOf("[1, 2"), HasSubstr("no JSON list"));
}

}  // namespace
}  // namespace tandem
