#include "server/gateway/openai_request.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

// Bodies with the one field under test.
std::string ChatWith(const std::string& field) {
  return absl::StrCat(R"({"model":"m","messages":[{"role":"user","content":"hi"}])",
                      field.empty() ? "" : ",", field, "}");
}
std::string CompletionWith(const std::string& field) {
  return absl::StrCat(R"({"model":"m","prompt":"hi")", field.empty() ? "" : ",", field, "}");
}

ApiRequest Parse(ApiKind kind, const std::string& body) {
  absl::StatusOr<ApiRequest> request = ParseOpenAiRequest(kind, body);
  EXPECT_TRUE(request.ok()) << body << "\n" << request.status();
  return request.ok() ? *std::move(request) : ApiRequest{};
}
ApiRequest Chat(const std::string& field) { return Parse(ApiKind::kChat, ChatWith(field)); }
ApiRequest Completion(const std::string& field) {
  return Parse(ApiKind::kCompletions, CompletionWith(field));
}

TEST(OpenAiRequestTest, FillsDefaults) {
  const ApiRequest request = Chat("");
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.sampling.temperature, 1.0f);
  EXPECT_FALSE(request.max_tokens.has_value());
  EXPECT_FALSE(request.has_seed);
  EXPECT_EQ(request.n, 1);
  EXPECT_FALSE(request.stream);
  EXPECT_TRUE(request.skip_special_tokens);
  EXPECT_TRUE(request.add_generation_prompt);
  EXPECT_FALSE(request.wants_logprobs());
}

TEST(OpenAiRequestTest, ReadsEveryNumber) {
  const ApiRequest request =
      Chat(R"("temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":40,"repetition_penalty":1.1,)"
           R"("presence_penalty":0.25,"frequency_penalty":-0.5,"seed":-3,"min_tokens":2,"n":3,)"
           R"("max_completion_tokens":7,"priority":-1,"logit_bias":{"5":-100,"9":1.5},)"
           R"("stop_token_ids":[4,5])");
  EXPECT_FLOAT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(request.sampling.top_p, 0.9f);
  EXPECT_FLOAT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_FLOAT_EQ(request.sampling.repetition_penalty, 1.1f);
  EXPECT_FLOAT_EQ(request.sampling.presence_penalty, 0.25f);
  EXPECT_FLOAT_EQ(request.sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(request.sampling.seed, static_cast<uint64_t>(-3));
  EXPECT_TRUE(request.has_seed);
  EXPECT_EQ(request.sampling.min_tokens, 2);
  EXPECT_EQ(request.n, 3);
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.priority, -1);
  EXPECT_EQ(request.sampling.logit_bias,
            (std::vector<std::pair<TokenId, float>>{{5, -100.0f}, {9, 1.5f}}));
  EXPECT_EQ(request.sampling.stop_token_ids, (std::vector<TokenId>{4, 5}));
}

TEST(OpenAiRequestTest, TakesWhatVllmBenchSends) {
  const ApiRequest request =
      Completion(R"("repetition_penalty":1.0,"max_tokens":128,"logprobs":null,"stream":true,)"
                 R"("stream_options":{"include_usage":true},"ignore_eos":true)");
  EXPECT_EQ(request.max_tokens, 128);
  EXPECT_TRUE(request.stream && request.include_usage && request.ignore_eos);
}

TEST(OpenAiRequestTest, TreatsNullAsAbsent) {
  const ApiRequest request = Chat(
      R"("temperature":null,"max_tokens":null,"tools":null,"stop":null,"stream_options":null)");
  EXPECT_EQ(request.sampling.temperature, 1.0f);
  EXPECT_TRUE(request.stop_strings.empty());
}

TEST(OpenAiRequestTest, IgnoresUnknownFields) {
  EXPECT_EQ(Chat(R"("frobnicate":{"a":[1]},"user":"u","kv_transfer_params":{"x":1})").n, 1);
}

TEST(OpenAiRequestTest, PrefersTheNewerNameOfMaxTokensInAnyOrder) {
  EXPECT_EQ(Chat(R"("max_tokens":5,"max_completion_tokens":9)").max_tokens, 9);
  EXPECT_EQ(Chat(R"("max_completion_tokens":9,"max_tokens":5)").max_tokens, 9);
}

TEST(OpenAiRequestTest, TakesWholeNumbersWrittenAsFractions) {
  EXPECT_EQ(Completion(R"("max_tokens":16.0)").max_tokens, 16);
}

TEST(OpenAiRequestTest, ReadsMinusOneAsAllOfTopK) {
  EXPECT_EQ(Completion(R"("top_k":-1)").sampling.top_k, 0);
}

TEST(OpenAiRequestTest, TakesOneStopStringOrSeveral) {
  EXPECT_EQ(Chat(R"("stop":"a")").stop_strings, (std::vector<std::string>{"a"}));
  EXPECT_EQ(Chat(R"("stop":["a","b"])").stop_strings, (std::vector<std::string>{"a", "b"}));
}

TEST(OpenAiRequestTest, TakesPromptsInEveryForm) {
  const auto prompts = [](const std::string& prompt) {
    return Parse(ApiKind::kCompletions, absl::StrCat(R"({"prompt":)", prompt, "}")).prompts;
  };
  EXPECT_EQ(prompts(R"("hi")"), (std::vector<TextOrTokens>{"hi"}));
  EXPECT_EQ(prompts(R"(["a","b"])"), (std::vector<TextOrTokens>{"a", "b"}));
  EXPECT_EQ(prompts("[1,2]"), (std::vector<TextOrTokens>{std::vector<TokenId>{1, 2}}));
  EXPECT_EQ(prompts("[[1,2],[3]]"),
            (std::vector<TextOrTokens>{std::vector<TokenId>{1, 2}, std::vector<TokenId>{3}}));
}

TEST(OpenAiRequestTest, JoinsTextPartsOfAMessage) {
  const ApiRequest request = Parse(
      ApiKind::kChat,
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]})");
  EXPECT_EQ(request.messages[0]["content"], "a\nb");
}

TEST(OpenAiRequestTest, OpensArgumentsOfEarlierToolCalls) {
  const ApiRequest request =
      Parse(ApiKind::kChat,
            R"({"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"x\":1}"}}]},)"
            R"({"role":"tool","tool_call_id":"1","content":"2"}]})");
  EXPECT_EQ(request.messages[0]["tool_calls"][0]["function"]["arguments"]["x"], 1);
  EXPECT_TRUE(request.messages[0]["content"].is_null());
}

TEST(OpenAiRequestTest, CountsLogprobsOfAChat) {
  EXPECT_EQ(Chat(R"("logprobs":true)").sampling.num_logprobs, 0);
  EXPECT_EQ(Chat(R"("logprobs":true,"top_logprobs":5)").sampling.num_logprobs, 5);
  EXPECT_EQ(Chat(R"("top_logprobs":5,"logprobs":true)").sampling.num_logprobs, 5);
  EXPECT_EQ(Chat(R"("logprobs":false)").sampling.num_logprobs, -1);
  EXPECT_EQ(Chat(R"("logprobs":false,"top_logprobs":0)").sampling.num_logprobs, -1);
  EXPECT_EQ(Completion(R"("logprobs":3)").sampling.num_logprobs, 3);
}

TEST(OpenAiRequestTest, TakesMaxTokensZeroOnlyToEchoThePrompt) {
  EXPECT_EQ(Completion(R"("echo":true,"max_tokens":0)").max_tokens, 0);
}

TEST(OpenAiRequestTest, PassesVariablesToTheTemplate) {
  const ApiRequest request = Chat(R"("chat_template_kwargs":{"enable_thinking":false})");
  EXPECT_EQ(request.template_variables["enable_thinking"], false);
}

struct BadCase {
  const char* name;
  ApiKind kind;
  std::string body;
  absl::StatusCode code;
  std::string param;
};

std::ostream& operator<<(std::ostream& os, const BadCase& bad) { return os << bad.body; }

class BadRequestTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadRequestTest, NamesTheField) {
  const BadCase& bad = GetParam();
  const absl::StatusOr<ApiRequest> request = ParseOpenAiRequest(bad.kind, bad.body);
  ASSERT_FALSE(request.ok()) << bad.body;
  EXPECT_EQ(request.status().code(), bad.code) << request.status();
  EXPECT_EQ(ErrorParam(request.status()), bad.param) << request.status();
  EXPECT_FALSE(request.status().message().empty());
}

BadCase BadChat(const char* name, const std::string& field, const std::string& param) {
  return {name, ApiKind::kChat, ChatWith(field), absl::StatusCode::kInvalidArgument, param};
}
BadCase BadCompletion(const char* name, const std::string& field, const std::string& param) {
  return {name, ApiKind::kCompletions, CompletionWith(field), absl::StatusCode::kInvalidArgument,
          param};
}
BadCase BadMessages(const char* name, const std::string& messages, const std::string& param) {
  return {name, ApiKind::kChat, absl::StrCat(R"({"messages":)", messages, "}"),
          absl::StatusCode::kInvalidArgument, param};
}

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

std::string ManyKeys() {
  std::string object = "{";
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&object, i == 0 ? "" : ",", "\"", i, "\":1");
  return object + "}";
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadRequestTest,
    ::testing::Values(
        BadCase{"NotJson", ApiKind::kChat, "{", absl::StatusCode::kInvalidArgument, ""},
        BadCase{"Empty", ApiKind::kChat, "", absl::StatusCode::kInvalidArgument, ""},
        BadCase{"NotAnObject", ApiKind::kChat, "[]", absl::StatusCode::kInvalidArgument, ""},
        BadCase{"BadUtf8", ApiKind::kChat, "{\"model\":\"\xff\"}",
                absl::StatusCode::kInvalidArgument, ""},
        BadCase{"HugeNumber", ApiKind::kChat, ChatWith(R"("temperature":1e999)"),
                absl::StatusCode::kInvalidArgument, ""},
        BadCase{"TooDeep", ApiKind::kChat, ChatWith(absl::StrCat("\"x\":", Nested(5000))),
                absl::StatusCode::kInvalidArgument, ""},
        BadCase{"TooManyKeys", ApiKind::kChat, ChatWith("\"x\":" + ManyKeys()),
                absl::StatusCode::kInvalidArgument, ""},
        BadChat("TemperatureText", R"("temperature":"hot")", "temperature"),
        BadChat("TemperatureBool", R"("temperature":true)", "temperature"),
        BadChat("MaxTokensFraction", R"("max_tokens":1.5)", "max_tokens"),
        BadChat("MaxTokensZero", R"("max_tokens":0)", "max_tokens"),
        BadChat("MaxCompletionTokensZero", R"("max_completion_tokens":0)", "max_completion_tokens"),
        BadChat("MaxTokensNegative", R"("max_tokens":-1)", "max_tokens"),
        BadChat("MaxTokensHuge", R"("max_tokens":99999999999)", "max_tokens"),
        BadChat("SeedBeyond64Bits", R"("seed":18446744073709551615)", "seed"),
        BadChat("NZero", R"("n":0)", "n"), BadChat("NTooMany", R"("n":129)", "n"),
        BadChat("StopEmpty", R"("stop":"")", "stop"),
        BadChat("StopNumber", R"("stop":[1])", "stop"),
        BadChat("LogitBiasList", R"("logit_bias":[1])", "logit_bias"),
        BadChat("LogitBiasKey", R"("logit_bias":{"x":1})", "logit_bias"),
        BadChat("LogitBiasValue", R"("logit_bias":{"1":"a"})", "logit_bias"),
        BadChat("StreamText", R"("stream":"yes")", "stream"),
        BadChat("StreamOptionsWithoutStream", R"("stream_options":{"include_usage":true})",
                "stream_options"),
        BadChat("IncludeUsageText", R"("stream":true,"stream_options":{"include_usage":"x"})",
                "stream_options.include_usage"),
        BadChat("LogprobsNumber", R"("logprobs":3)", "logprobs"),
        BadChat("TopLogprobsAlone", R"("top_logprobs":3)", "top_logprobs"),
        BadChat("TopLogprobsTooMany", R"("logprobs":true,"top_logprobs":21)", "top_logprobs"),
        BadChat("PromptLogprobsStreamed", R"("stream":true,"prompt_logprobs":1)",
                "prompt_logprobs"),
        BadChat("ModelNumber", R"("model":3)", "model"),
        BadChat("UserNumber", R"("user":3)", "user"),
        BadChat("CacheSaltEmpty", R"("cache_salt":"")", "cache_salt"),
        BadChat("TemplateKwargsText", R"("chat_template_kwargs":"x")", "chat_template_kwargs"),
        BadMessages("MessagesEmpty", "[]", "messages"),
        BadMessages("MessagesText", R"("hi")", "messages"),
        BadMessages("MessageText", R"(["hi"])", "messages[0]"),
        BadMessages("NoRole", R"([{"content":"x"}])", "messages[0].role"),
        BadMessages("RoleNumber", R"([{"role":1,"content":"x"}])", "messages[0].role"),
        BadMessages("NoContent", R"([{"role":"user"}])", "messages[0].content"),
        BadMessages("ContentNumber", R"([{"role":"user","content":1}])", "messages[0].content"),
        BadMessages("PartWithoutType", R"([{"role":"user","content":[{}]}])",
                    "messages[0].content[0]"),
        BadMessages("PartWithoutText", R"([{"role":"user","content":[{"type":"text"}]}])",
                    "messages[0].content[0].text"),
        BadCompletion("LogprobsBool", R"("logprobs":true)", "logprobs"),
        BadCompletion("LogprobsTooMany", R"("logprobs":21)", "logprobs"),
        BadCase{"NoMessages", ApiKind::kChat, "{}", absl::StatusCode::kInvalidArgument, "messages"},
        BadCase{"NoPrompt", ApiKind::kCompletions, "{}", absl::StatusCode::kInvalidArgument,
                "prompt"},
        BadCase{"PromptNumber", ApiKind::kCompletions, R"({"prompt":3})",
                absl::StatusCode::kInvalidArgument, "prompt"},
        BadCase{"PromptEmptyList", ApiKind::kCompletions, R"({"prompt":[]})",
                absl::StatusCode::kInvalidArgument, "prompt"},
        BadCase{"PromptMixed", ApiKind::kCompletions, R"({"prompt":[1,"a"]})",
                absl::StatusCode::kInvalidArgument, "prompt"},
        BadCase{"PromptNegativeId", ApiKind::kCompletions, R"({"prompt":[-1]})",
                absl::StatusCode::kInvalidArgument, "prompt"},
        BadCase{"TooManySamples", ApiKind::kCompletions, R"({"prompt":["a","b"],"n":100})",
                absl::StatusCode::kInvalidArgument, "n"}),
    [](const auto& info) { return info.param.name; });

BadCase Unsupported(const char* name, ApiKind kind, const std::string& field,
                    const std::string& param) {
  const std::string body = kind == ApiKind::kChat ? ChatWith(field) : CompletionWith(field);
  return {name, kind, body, absl::StatusCode::kUnimplemented, param};
}

INSTANTIATE_TEST_SUITE_P(
    Unsupported, BadRequestTest,
    ::testing::Values(
        Unsupported("Tools", ApiKind::kChat, R"("tools":[{"type":"function"}])", "tools"),
        Unsupported("ToolChoice", ApiKind::kChat, R"("tool_choice":"required")", "tool_choice"),
        Unsupported("Functions", ApiKind::kChat, R"("functions":[{}])", "functions"),
        Unsupported("ResponseFormat", ApiKind::kChat, R"("response_format":{"type":"json_object"})",
                    "response_format"),
        Unsupported("Audio", ApiKind::kChat, R"("audio":{"voice":"x"})", "audio"),
        Unsupported("Modalities", ApiKind::kChat, R"("modalities":["text","audio"])", "modalities"),
        Unsupported("GuidedJson", ApiKind::kChat, R"("guided_json":{})", "guided_json"),
        Unsupported("BestOf", ApiKind::kCompletions, R"("best_of":3)", "best_of"),
        Unsupported("Suffix", ApiKind::kCompletions, R"("suffix":"x")", "suffix"),
        BadCase{"ImagePart", ApiKind::kChat,
                R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
                absl::StatusCode::kUnimplemented, "messages[0].content[0].type"}),
    [](const auto& info) { return info.param.name; });

TEST(OpenAiRequestTest, TakesUnsupportedFieldsThatAskForTheDefault) {
  Chat(
      R"("tools":[],"tool_choice":"auto","response_format":{"type":"text"},"modalities":["text"])");
  Completion(R"("best_of":1,"suffix":"","use_beam_search":false)");
  Completion(R"("n":2,"best_of":2)");
}

TEST(OpenAiRequestTest, SaysWhatWasFoundInsteadOfTheExpectedType) {
  const absl::Status status =
      ParseOpenAiRequest(ApiKind::kChat, ChatWith(R"("temperature":"hot")")).status();
  EXPECT_EQ(status.message(), "`temperature` must be a number, got string.");
}

TEST(OpenAiRequestTest, UsesTheKnownTextForStreamOptions) {
  const absl::Status status =
      ParseOpenAiRequest(ApiKind::kChat, ChatWith(R"("stream_options":{})")).status();
  EXPECT_EQ(status.message(), "Stream options can only be defined when `stream=True`.");
}

}  // namespace
}  // namespace tandem
