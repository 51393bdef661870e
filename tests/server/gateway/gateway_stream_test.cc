// Streams through the gateway: what goes over the wire, in which order, and what happens when one
// side goes away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/server/gateway/gateway_fixture.h"

namespace tandem::testing {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class GatewayStreamTest : public GatewayFixture {
 protected:
  // A worker that holds its call until the test lets it go on.
  struct HeldCall {
    std::shared_ptr<FakeCall> call;
    absl::Notification arrived;
    bool Wait() { return arrived.WaitForNotificationWithTimeout(kPatience); }
  };
  FakeWorker::DecodeScript HoldDecode(HeldCall& held) {
    return [&held](const auto&, const auto& call) {
      held.call = call;
      held.arrived.Notify();
    };
  }
  void StartChat(ClientConnection& client, Json body) {
    body["stream"] = true;
    body["messages"] = {{{"role", "user"}, {"content", "Hi"}}};
    client.SendRequest("POST", "/v1/chat/completions", body.dump());
  }
};

TEST_F(GatewayStreamTest, SendsTheChunksOfAChat) {
  AnswerWith("Hello");
  Start();
  const ClientResponse response = Chat({{"stream", true}});
  ASSERT_EQ(response.status, 200);
  EXPECT_TRUE(response.is_complete);
  EXPECT_EQ(response.Header("Content-Type"), "text/event-stream");
  EXPECT_EQ(response.Header("Cache-Control"), "no-cache");
  EXPECT_EQ(response.Header("x-tandem-path"), "disaggregated");
  EXPECT_THAT(response.body, EndsWith("data: [DONE]\n\n"));
  EXPECT_THAT(response.body, Not(HasSubstr("event:")));

  const std::vector<Json> chunks = response.Chunks();
  const std::vector<std::string> texts = {"H", "e", "ll", "o"};
  ASSERT_EQ(chunks.size(), texts.size() + 2) << response.body;
  EXPECT_EQ(chunks[0]["choices"][0]["delta"].dump(), R"({"role":"assistant","content":""})");
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(chunks[i + 1]["choices"][0]["delta"], Json({{"content", texts[i]}}));
    EXPECT_TRUE(chunks[i + 1]["choices"][0]["finish_reason"].is_null());
  }
  EXPECT_EQ(chunks.back()["choices"][0]["delta"], Json::object());
  EXPECT_EQ(chunks.back()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(chunks.back()["tandem"]["kv_bytes"], 1000);
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], chunks[0]["id"]);
    EXPECT_EQ(chunk["created"], chunks[0]["created"]);
    EXPECT_FALSE(chunk.contains("usage"));
  }
}

TEST_F(GatewayStreamTest, SendsUsageInAChunkOfItsOwn) {
  AnswerWith("Hello");
  Start();
  const std::vector<Json> chunks =
      Complete({{"prompt", "Hi"}, {"stream", true}, {"stream_options", {{"include_usage", true}}}})
          .Chunks();
  ASSERT_FALSE(chunks.empty());
  EXPECT_EQ(chunks.back()["choices"], Json::array());
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], 5);
  EXPECT_EQ(chunks.back()["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(chunks.back()["tandem"]["path"], "disaggregated");
  for (size_t i = 0; i + 1 < chunks.size(); ++i) EXPECT_TRUE(chunks[i].at("usage").is_null());
}

TEST_F(GatewayStreamTest, CountsUsageInEveryChunkWhenAsked) {
  AnswerWith("Hello");
  Start();
  const std::vector<Json> chunks =
      Complete({{"prompt", "Hi"},
                {"stream", true},
                {"stream_options", {{"include_usage", true}, {"continuous_usage_stats", true}}}})
          .Chunks();
  ASSERT_GE(chunks.size(), 3u);
  EXPECT_EQ(chunks[0]["usage"]["completion_tokens"], 1);
  EXPECT_EQ(chunks[1]["usage"]["completion_tokens"], 2);
}

TEST_F(GatewayStreamTest, SendsTheFirstTokenWithoutWaitingForDecode) {
  AnswerWith("Hello");
  HeldCall held;
  decode_worker_.decode = HoldDecode(held);
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {{"max_tokens", 2}});
  ASSERT_TRUE(client.ReadUntil(R"("delta":{"content":"H"})"));
  ASSERT_TRUE(held.Wait());
  SendToken(*held.call, Ids("Hello"), 1, 2);
  held.call->Close();
  EXPECT_EQ(client.Read().Chunks().back()["choices"][0]["finish_reason"], "length");
}

TEST_F(GatewayStreamTest, KeepsTheOrderWhenDecodeIsFaster) {
  const std::vector<TokenId> tokens = Ids("Hello");
  absl::Notification decode_is_done;
  HeldCall held;
  prefill_worker_.prefill = [&held](const auto&, const auto& call) {
    held.call = call;
    held.arrived.Notify();
  };
  decode_worker_.decode = [&](const auto&, const auto& call) {
    for (int i = 1; i < 4; ++i) SendToken(*call, tokens, i, 4);
    call->Close();
    decode_is_done.Notify();
  };
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {{"max_tokens", 4}});
  ASSERT_TRUE(held.Wait());
  ASSERT_TRUE(decode_is_done.WaitForNotificationWithTimeout(kPatience));
  SendToken(*held.call, tokens, 0, 4);
  held.call->Close();
  std::string text;
  for (const Json& chunk : client.Read().Chunks()) {
    text += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "Hello");
}

TEST_F(GatewayStreamTest, HoldsBackWhatMayBecomeAStopString) {
  AnswerWith("Hello");
  HeldCall held;
  decode_worker_.decode = HoldDecode(held);
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {{"stop", "ell"}, {"max_tokens", 9}});
  ASSERT_TRUE(held.Wait());
  const std::vector<TokenId> tokens = Ids("Hello");
  SendToken(*held.call, tokens, 1, 9);  // "e"
  SendToken(*held.call, tokens, 2, 9);  // "ll"
  const ClientResponse response = client.Read();
  EXPECT_THAT(response.body, Not(HasSubstr(R"("content":"e")")));
  EXPECT_EQ(response.Chunks().back()["choices"][0]["stop_reason"], "ell");
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
}

TEST_F(GatewayStreamTest, NeverSplitsACharacter) {
  const std::vector<TokenId> bytes = {
      *ModelTokenizer().FindToken("ð"), *ModelTokenizer().FindToken("Ł"),
      *ModelTokenizer().FindToken("ĺ"), *ModelTokenizer().FindToken("Ģ")};  // F0 9F 98 80
  scheduler_.UseMixed(decode_worker_);
  decode_worker_.decode = [&](const auto&, const auto& call) {
    for (int i = 0; i < 4; ++i) SendToken(*call, bytes, i, 4);
    call->Close();
  };
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}, {"max_tokens", 4}, {"stream", true}});
  const std::vector<Json> chunks = response.Chunks();
  ASSERT_EQ(chunks.size(), 2u) << response.body;
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "\xF0\x9F\x98\x80");
}

TEST_F(GatewayStreamTest, TellsTheChoicesOfSeveralSamplesApart) {
  AnswerWith("Hello");
  Start();
  const ClientResponse response = Chat({{"stream", true}, {"n", 3}});
  std::vector<std::string> texts(3);
  std::vector<int> num_finished(3);
  for (const Json& chunk : response.Chunks()) {
    const Json& choice = chunk["choices"][0];
    texts[choice["index"].get<int>()] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) ++num_finished[choice["index"].get<int>()];
  }
  EXPECT_THAT(texts, ::testing::Each("Hello"));
  EXPECT_THAT(num_finished, ::testing::Each(1));
  EXPECT_THAT(response.body, EndsWith("data: [DONE]\n\n"));
}

TEST_F(GatewayStreamTest, EchoesThePromptInTheFirstChunk) {
  AnswerWith("Hello");
  Start();
  const std::vector<Json> chunks =
      Complete({{"prompt", "Hi"}, {"echo", true}, {"stream", true}}).Chunks();
  ASSERT_GE(chunks.size(), 2u);
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "Hi");
  EXPECT_EQ(chunks[1]["choices"][0]["text"], "H");
}

TEST_F(GatewayStreamTest, SendsEveryTokenWithItsLogprob) {
  AnswerWith("Hello");
  Start();
  const ClientResponse response = Chat({{"stream", true}, {"logprobs", true}});
  int num_tokens = 0;
  for (const Json& chunk : response.Chunks()) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (!logprobs.is_null()) num_tokens += static_cast<int>(logprobs["content"].size());
  }
  EXPECT_EQ(num_tokens, 5) << "the end token included";
}

TEST_F(GatewayStreamTest, KeepsTheHttpStatusOfAFailureBeforeTheFirstToken) {
  prefill_worker_.prefill = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining"));
  };
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  const ClientResponse response = Chat({{"stream", true}});
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.Header("Content-Type"), "application/json");
  EXPECT_EQ(response.Header("Retry-After"), "1");
  EXPECT_TRUE(response.is_complete);
}

TEST_F(GatewayStreamTest, EndsAbnormallyAfterAFailureInTheMiddle) {
  AnswerWith("Hello");
  HeldCall held;
  decode_worker_.decode = HoldDecode(held);
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {});
  ASSERT_TRUE(client.ReadUntil(R"("content":"H")"));
  ASSERT_TRUE(held.Wait());
  held.call->Close(grpc::Status(grpc::StatusCode::INTERNAL, "step died"));
  const ClientResponse response = client.Read();
  EXPECT_FALSE(response.is_complete) << "no final chunk, so that every client counts a failure";
  const std::vector<std::string> events = response.Events();
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events[events.size() - 2],
            R"({"error":{"message":"decode worker decode-0: step died","type":"internal_error",)"
            R"("param":null,"code":null}})");
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayStreamTest, EndsAbnormallyWhenTheDecodeWorkerDies) {
  AnswerWith("Hello");
  HeldCall held;
  decode_worker_.decode = HoldDecode(held);
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {});
  ASSERT_TRUE(client.ReadUntil(R"("content":"H")"));
  ASSERT_TRUE(held.Wait());
  decode_worker_.Kill();
  const ClientResponse response = client.Read();
  EXPECT_FALSE(response.is_complete);
  EXPECT_THAT(response.body, HasSubstr("service_unavailable"));
}

TEST_F(GatewayStreamTest, CancelsBothCallsWhenTheClientGoesBeforeTheFirstToken) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {});
  ASSERT_TRUE(prefill_worker_.WaitForOpened(1));
  ASSERT_TRUE(decode_worker_.WaitForOpened(1));
  client.Close();
  EXPECT_TRUE(prefill_worker_.WaitForCancelled(1));
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayStreamTest, CancelsEverySampleWhenTheClientGoesInTheMiddle) {
  AnswerWith("Hello");
  prefill_worker_.prefill = [tokens = Ids("Hello")](const auto&, const auto& call) {
    SendToken(*call, tokens, 0, 100);  // and its KV stays leased
  };
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  ClientConnection client(gateway_->http_port());
  StartChat(client, {{"n", 2}});
  ASSERT_TRUE(client.ReadUntil(R"("content":"H")"));
  ASSERT_TRUE(decode_worker_.WaitForOpened(2));
  ASSERT_TRUE(prefill_worker_.WaitForOpened(2));
  client.Close();
  EXPECT_TRUE(prefill_worker_.WaitForCancelled(2));
  EXPECT_TRUE(decode_worker_.WaitForCancelled(2));
  EXPECT_TRUE(scheduler_.WaitForCompleted(2));
}

TEST_F(GatewayStreamTest, CancelsAWholeAnswerToo) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  ClientConnection client(gateway_->http_port());
  client.SendRequest("POST", "/v1/completions", R"({"prompt":"Hi"})");
  ASSERT_TRUE(prefill_worker_.WaitForOpened(1));
  ASSERT_TRUE(decode_worker_.WaitForOpened(1));
  client.Close();
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
  EXPECT_TRUE(prefill_worker_.WaitForCancelled(1));
}

TEST_F(GatewayStreamTest, AnswersFiftyStreamsAtOnce) {
  AnswerWith("Hello, world! This is one of many answers.");
  Start();
  std::vector<std::string> texts(50);
  std::vector<std::thread> clients;
  for (std::string& text : texts) {
    clients.emplace_back([this, &text] {
      for (const Json& chunk : Chat({{"stream", true}}).Chunks()) {
        text += chunk["choices"][0]["delta"].value("content", "");
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_THAT(texts, ::testing::Each("Hello, world! This is one of many answers."));
  EXPECT_TRUE(scheduler_.WaitForCompleted(50));
}

TEST_F(GatewayStreamTest, PausesOnlyTheSlowReader) {
  // More than the gateway and the sockets hold for a client, and no end but by the gateway.
  constexpr int kNumEvents = 4000;
  AnswerWith("Hello");
  scheduler_.UseMixed(decode_worker_);
  const TokenId token = Ids("Hello")[0];
  decode_worker_.decode = [&](const v1::DecodeRequest& request, const auto& call) {
    // 4,000 events of 500 tokens each are about 80 MB of JSON with token ids.
    const bool is_long = request.request().priority() == 1;
    for (int i = 0; i < (is_long ? kNumEvents : 1); ++i) {
      v1::TokenEvent event;
      event.set_index(i * 500);
      for (int j = 0; j < (is_long ? 500 : 1); ++j) event.add_tokens()->set_token(token);
      if (!is_long) event.set_finish_reason(v1::FINISH_REASON_LENGTH);
      call->Send(std::move(event));
    }
    if (!is_long) call->Close();
  };
  Start({.write_timeout = absl::Milliseconds(300)});
  ClientConnection slow(gateway_->http_port(), /*receive_buffer_bytes=*/4096);
  slow.SendRequest("POST", "/v1/completions",
                   R"({"prompt":"Hi","stream":true,"priority":1,"return_token_ids":true})");
  ASSERT_TRUE(decode_worker_.WaitForOpened(1));
  EXPECT_EQ(Complete({{"prompt", "Hi"}}).status, 200) << "others go on";
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1)) << "and the slow one is dropped in the end";
}

}  // namespace
}  // namespace tandem::testing
