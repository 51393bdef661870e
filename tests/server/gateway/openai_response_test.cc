#include "server/gateway/openai_response.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/gateway/model_info.h"
#include "tests/server/gateway/test_model.h"

namespace tandem {
namespace {

using ::tandem::testing::TestModel;

class OpenAiResponseTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const TestModel files;
    absl::StatusOr<ModelInfo> model = LoadModelInfo(files.path(), {"m"}, "", absl::Now());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = new ModelInfo(*std::move(model));
  }
  static void TearDownTestSuite() { delete model_; }

  OpenAiResponseTest() {
    prepared_.prompts.push_back(
        {.text = "", .tokens = std::make_shared<const std::vector<TokenId>>(Ids("Hi"))});
    prepared_.samples.resize(1);
  }

  static std::vector<TokenId> Ids(const std::string& text) {
    return *model_->tokenizer->Encode(text, {.add_special_tokens = false});
  }
  OpenAiResponse MakeResponse(const std::string& id) {
    return OpenAiResponse({.id = id, .created = 1700000000, .model = "m"}, request_, prepared_,
                          *model_->tokenizer);
  }
  static GenerationSummary Finished(FinishReason reason) {
    GenerationSummary summary;
    summary.ending.reason = reason;
    summary.num_completion_tokens = 7;
    return summary;
  }

  static ModelInfo* model_;
  ApiRequest request_;
  PreparedRequest prepared_;
};
ModelInfo* OpenAiResponseTest::model_ = nullptr;

TEST_F(OpenAiResponseTest, WritesAChatAsTheApiDocumentsIt) {
  const Choice choice{.text = "Hello", .summary = Finished(FinishReason::kStop)};
  const Json json =
      MakeResponse("chatcmpl-1")
          .Whole({choice},
                 {.num_prompt_tokens = 5, .num_completion_tokens = 7, .num_cached_tokens = 2});
  EXPECT_EQ(json.dump(),
            R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},)"
            R"("logprobs":null,"finish_reason":"stop","stop_reason":null}],)"
            R"("usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,)"
            R"("prompt_tokens_details":{"cached_tokens":2},)"
            R"("completion_tokens_details":{"reasoning_tokens":0}}})");
}

TEST_F(OpenAiResponseTest, WritesACompletionAsTheApiDocumentsIt) {
  request_.kind = ApiKind::kCompletions;
  const Choice choice{.text = "Hello", .summary = Finished(FinishReason::kLength)};
  const Json json = MakeResponse("cmpl-1").Whole({choice}, {.num_prompt_tokens = 5});
  EXPECT_EQ(json.dump(),
            R"({"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m",)"
            R"("choices":[{"index":0,"text":"Hello","logprobs":null,"finish_reason":"length",)"
            R"("stop_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":0,)"
            R"("total_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST_F(OpenAiResponseTest, SaysWhichStopMatched) {
  GenerationSummary by_string = Finished(FinishReason::kStop);
  by_string.ending.stop_string = "END";
  EXPECT_EQ(StopReasonJson(by_string), "END");
  GenerationSummary by_token = Finished(FinishReason::kStop);
  by_token.ending.stop_token = 9;
  EXPECT_EQ(StopReasonJson(by_token), 9);
  EXPECT_TRUE(StopReasonJson(Finished(FinishReason::kStop)).is_null());
}

TEST_F(OpenAiResponseTest, WritesTheChunksOfAChat) {
  OpenAiResponse response = MakeResponse("chatcmpl-1");
  const std::string envelope =
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",)";
  EXPECT_EQ(response.FirstChunk(0, {}).dump(),
            envelope + R"("choices":[{"index":0,"delta":{"role":"assistant","content":""},)"
                       R"("logprobs":null,"finish_reason":null}]})");
  EXPECT_EQ(response.DeltaChunk(0, {.text = "Hi", .tokens = {}, .prompt_logprobs = {}}).dump(),
            envelope + R"("choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,)"
                       R"("finish_reason":null}]})");
  EXPECT_EQ(response.FinishChunk(0, Finished(FinishReason::kStop)).dump(),
            envelope + R"("choices":[{"index":0,"delta":{},"logprobs":null,)"
                       R"("finish_reason":"stop","stop_reason":null}]})");
}

TEST_F(OpenAiResponseTest, WritesNullUsageInEveryChunkButTheLast) {
  request_.include_usage = true;
  OpenAiResponse response = MakeResponse("chatcmpl-1");
  EXPECT_TRUE(response.FirstChunk(0, {}).at("usage").is_null());
  EXPECT_TRUE(response.FinishChunk(0, Finished(FinishReason::kStop)).at("usage").is_null());
  const Json last = response.UsageChunk({.num_prompt_tokens = 1, .num_completion_tokens = 2});
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(last["usage"]["total_tokens"], 3);
}

TEST_F(OpenAiResponseTest, WritesLogprobsOfAChatWithBytes) {
  request_.sampling.num_logprobs = 2;
  const TokenId h = Ids("H")[0];
  const TokenId half_of_e_acute = *model_->tokenizer->FindToken("Ã");  // byte C3
  const SampledToken token{
      .token = half_of_e_acute,
      .logprob = -0.5f,
      .top = {{half_of_e_acute, -0.5f}, {h, -std::numeric_limits<float>::infinity()}}};
  const Json chunk =
      MakeResponse("x").DeltaChunk(0, {.text = "", .tokens = {token}, .prompt_logprobs = {}});
  EXPECT_EQ(chunk["choices"][0]["logprobs"].dump(),
            R"({"content":[{"token":"�","logprob":-0.5,"bytes":[195],"top_logprobs":[)"
            R"({"token":"�","logprob":-0.5,"bytes":[195]},)"
            R"({"token":"H","logprob":-9999.0,"bytes":[72]}]}]})");
}

TEST_F(OpenAiResponseTest, WritesLogprobsOfACompletionWithOffsetsThatRunOn) {
  request_.kind = ApiKind::kCompletions;
  request_.sampling.num_logprobs = 1;
  OpenAiResponse response = MakeResponse("x");
  const TokenId ll = Ids("ll")[0];
  const TokenId o = Ids("o")[0];
  const GenerationDelta first{.text = "ll",
                              .tokens = {{.token = ll, .logprob = -1.0f, .top = {{o, -0.25f}}}},
                              .prompt_logprobs = {}};
  EXPECT_EQ(response.DeltaChunk(0, first)["choices"][0]["logprobs"].dump(),
            R"({"tokens":["ll"],"token_logprobs":[-1.0],)"
            R"("top_logprobs":[{"o":-0.25,"ll":-1.0}],"text_offset":[0]})");
  const GenerationDelta second{.text = "o",
                               .tokens = {{.token = o, .logprob = -2.0f, .top = {{o, -2.0f}}}},
                               .prompt_logprobs = {}};
  EXPECT_EQ(response.DeltaChunk(0, second)["choices"][0]["logprobs"].dump(),
            R"({"tokens":["o"],"token_logprobs":[-2.0],"top_logprobs":[{"o":-2.0}],)"
            R"("text_offset":[2]})");
}

TEST_F(OpenAiResponseTest, EchoesThePromptWithItsLogprobs) {
  request_.kind = ApiKind::kCompletions;
  request_.echo = true;
  request_.sampling.num_logprobs = 0;
  prepared_.prompts[0].text = "Ho";
  const std::vector<TokenId> prompt = Ids("Ho");
  ASSERT_EQ(prompt.size(), 2u);
  prepared_.prompts[0].tokens = std::make_shared<const std::vector<TokenId>>(prompt);
  const Choice choice{
      .text = "ll",
      .tokens = {{.token = Ids("ll")[0], .logprob = -1.0f, .top = {}}},
      .prompt_logprobs = {{.position = 1, .token = {.token = prompt[1], .logprob = -3, .top = {}}}},
      .summary = Finished(FinishReason::kLength)};
  const Json json = MakeResponse("x").Whole({choice}, {});
  EXPECT_EQ(json["choices"][0]["text"], "Holl");
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            R"({"tokens":["H","o","ll"],"token_logprobs":[null,-3.0,-1.0],)"
            R"("top_logprobs":[null,{"o":-3.0},{"ll":-1.0}],"text_offset":[0,1,2]})");
}

TEST_F(OpenAiResponseTest, WritesPromptLogprobsByTokenId) {
  request_.sampling.num_prompt_logprobs = 1;
  const Choice choice{
      .text = "x",
      .prompt_logprobs = {{.position = 1,
                           .token = {.token = 83, .logprob = -2, .top = {{73, -1}}}}},
      .summary = Finished(FinishReason::kStop)};
  const Json json = MakeResponse("x").Whole({choice}, {});
  EXPECT_EQ(json["prompt_logprobs"].dump(),
            R"([null,{"73":{"logprob":-1.0,"rank":1,"decoded_token":"e"},)"
            R"("83":{"logprob":-2.0,"rank":null,"decoded_token":"o"}}])");
}

TEST_F(OpenAiResponseTest, ReturnsTokenIds) {
  request_.return_token_ids = true;
  const std::vector<TokenId> prompt = *prepared_.prompts[0].tokens;
  const Choice choice{.text = "x",
                      .tokens = {{.token = 83, .logprob = 0, .top = {}}},
                      .summary = Finished(FinishReason::kStop)};
  const Json chat = MakeResponse("x").Whole({choice}, {});
  EXPECT_EQ(chat["prompt_token_ids"], Json(prompt));
  EXPECT_EQ(chat["choices"][0]["token_ids"], Json({83}));
  request_.kind = ApiKind::kCompletions;
  EXPECT_EQ(MakeResponse("x").Whole({choice}, {})["choices"][0]["prompt_token_ids"], Json(prompt));
}

TEST(UsageTest, CountsPromptTokensOncePerPrompt) {
  PreparedRequest prepared;
  for (const size_t size : {3, 4}) {
    prepared.prompts.push_back(
        {.text = "", .tokens = std::make_shared<const std::vector<TokenId>>(size, 1)});
  }
  std::vector<GenerationSummary> summaries(4);
  for (GenerationSummary& summary : summaries) {
    summary.num_completion_tokens = 10;
    summary.num_cached_tokens = 2;
  }
  const Usage usage = SumUsage(prepared, /*n=*/2, summaries);
  EXPECT_EQ(usage.num_prompt_tokens, 7);
  EXPECT_EQ(usage.num_completion_tokens, 40);
  EXPECT_EQ(usage.num_cached_tokens, 4);
}

TEST(TandemJsonTest, SumsKvOverSamples) {
  std::vector<GenerationSummary> summaries(2);
  summaries[0].kv_bytes = 100;
  summaries[0].latency.ttft = absl::Milliseconds(12);
  summaries[0].latency.tpot = absl::Milliseconds(3);
  summaries[0].path = "disaggregated";
  summaries[0].prefill_instance = "prefill-0";
  summaries[0].decode_instance = "decode-0";
  summaries[1].kv_bytes = 50;
  EXPECT_EQ(TandemJson(summaries, /*with_timing=*/false).dump(),
            R"({"ttft_ms":12.0,"tpot_ms":3.0,"kv_bytes":150,"path":"disaggregated",)"
            R"("prefill":"prefill-0","decode":"decode-0"})");
  summaries[0].first_token_stages = {{"queue", absl::Milliseconds(5)},
                                     {"prefill", absl::Microseconds(7500)}};
  EXPECT_EQ(TandemJson(summaries, /*with_timing=*/true)["timing"].dump(),
            R"({"first_token_ms":{"queue":5.0,"prefill":7.5},"second_token_ms":null,)"
            R"("predicted_ttft_ms":null,"predicted_tpot_ms":null})");
}

}  // namespace
}  // namespace tandem
