#include "server/gateway/transcript.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "server/gateway/generation.h"
#include "server/gateway/model_info.h"
#include "tests/server/gateway/test_model.h"

namespace tandem {
namespace {

constexpr TokenId kEndOfText = 2;  // </s>

class TranscriptTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const testing::TestModel files;
    absl::StatusOr<ModelInfo> model = LoadModelInfo(files.path(), {"m"}, "", absl::UnixEpoch());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = new ModelInfo(*std::move(model));
  }
  static void TearDownTestSuite() { delete model_; }

  static TokenId Id(const std::string& text) {
    const std::vector<TokenId> ids =
        *model_->tokenizer->Encode(text, {.add_special_tokens = false});
    EXPECT_EQ(ids.size(), 1) << text;
    return ids.front();
  }
  static v1::TokenEvent Event(int index, std::initializer_list<TokenId> tokens,
                              v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED) {
    v1::TokenEvent event;
    event.set_index(index);
    for (const TokenId token : tokens) {
      event.add_tokens()->set_token(static_cast<uint32_t>(token));
    }
    event.set_finish_reason(reason);
    return event;
  }
  static v1::TokenEvent StopEvent(int index, TokenId token) {
    v1::TokenEvent event = Event(index, {token}, v1::FINISH_REASON_STOP);
    event.set_stop_token(static_cast<uint32_t>(token));
    return event;
  }
  Transcript Make() const { return Transcript(request_, *model_->tokenizer); }

  static ModelInfo* model_;
  GenerationRequest request_;
};
ModelInfo* TranscriptTest::model_ = nullptr;

TEST_F(TranscriptTest, SkipsTokensThatItHasAlready) {
  Transcript transcript = Make();
  transcript.Take(Event(0, {Id("a"), Id("b")}));
  const GenerationDelta delta = transcript.Take(Event(1, {Id("b"), Id("c")}));
  EXPECT_EQ(delta.text, "c");
  EXPECT_EQ(delta.tokens.size(), 1);
  EXPECT_EQ(transcript.num_tokens(), 3);
}

TEST_F(TranscriptTest, CountsAStopTokenAndDoesNotShowIt) {
  Transcript transcript = Make();
  const GenerationDelta delta = transcript.Take(StopEvent(0, kEndOfText));
  EXPECT_EQ(delta.text, "");
  EXPECT_EQ(transcript.num_tokens(), 1);
  EXPECT_EQ(transcript.ending().reason, FinishReason::kStop);
}

TEST_F(TranscriptTest, ShowsAStopTokenWhereTheClientAsksForIt) {
  request_.include_stop_str_in_output = true;
  Transcript transcript = Make();
  EXPECT_EQ(transcript.Take(StopEvent(0, Id("a"))).text, "a");
}

TEST_F(TranscriptTest, NamesAStopTokenThatTheClientNamed) {
  request_.client_stop_token_ids = {Id("a")};
  Transcript transcript = Make();
  transcript.Take(StopEvent(0, Id("a")));
  EXPECT_EQ(transcript.ending().stop_token, Id("a"));
}

TEST_F(TranscriptTest, DoesNotNameTheModelsOwnStopToken) {
  request_.client_stop_token_ids = {Id("a")};
  Transcript transcript = Make();
  transcript.Take(StopEvent(0, kEndOfText));
  EXPECT_FALSE(transcript.ending().stop_token.has_value());
}

TEST_F(TranscriptTest, LeavesTokensAfterAStopString) {
  request_.stop_strings = {"b"};
  Transcript transcript = Make();
  const GenerationDelta delta =
      transcript.Take(Event(0, {Id("a"), Id("b"), Id("c")}, v1::FINISH_REASON_LENGTH));
  EXPECT_EQ(delta.text, "a");
  EXPECT_EQ(transcript.num_tokens(), 2);
  EXPECT_EQ(transcript.ending().reason, FinishReason::kStop);
  EXPECT_EQ(transcript.ending().stop_string, "b");
}

TEST_F(TranscriptTest, DoesNotStopBeforeTheLeastNumberOfTokens) {
  request_.stop_strings = {"b"};
  request_.sampling.min_tokens = 2;
  Transcript transcript = Make();
  EXPECT_EQ(transcript.Take(Event(0, {Id("a"), Id("b")})).text, "ab");
  EXPECT_EQ(transcript.ending().reason, FinishReason::kNone);
}

TEST_F(TranscriptTest, ShowsTheBeginningOfAStopStringOnceItCannotGoOn) {
  request_.stop_strings = {"bc"};
  Transcript transcript = Make();
  EXPECT_EQ(transcript.Take(Event(0, {Id("a"), Id("b")})).text, "a");
  EXPECT_EQ(transcript.Take(Event(2, {}, v1::FINISH_REASON_LENGTH)).text, "b");
  EXPECT_EQ(transcript.ending().reason, FinishReason::kLength);
}

TEST_F(TranscriptTest, ShowsNothingWhereOnlyThePromptIsAskedFor) {
  request_.is_prompt_only = true;
  Transcript transcript = Make();
  const GenerationDelta delta = transcript.Take(StopEvent(0, Id("a")));
  EXPECT_EQ(delta.text, "");
  EXPECT_TRUE(delta.tokens.empty());
  EXPECT_EQ(transcript.ending().reason, FinishReason::kLength);
}

TEST_F(TranscriptTest, TellsEachPromptLogprobOnce) {
  Transcript transcript = Make();
  v1::TokenEvent event;
  for (int position = 0; position < 3; ++position) {
    event.add_prompt_logprobs()->set_position(position);
    const GenerationDelta delta = transcript.Take(event);  // all so far, as a replay does
    ASSERT_EQ(delta.prompt_logprobs.size(), 1);
    EXPECT_EQ(delta.prompt_logprobs.front().position, position);
  }
}

}  // namespace
}  // namespace tandem
