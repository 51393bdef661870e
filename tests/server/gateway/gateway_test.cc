// The gateway over real sockets, in front of workers that a test scripts: whole answers, endpoints
// and refusals. Streams are in gateway_stream_test.cc, gRPC in gateway_grpc_test.cc,
// workers and schedulers that fail in gateway_failure_test.cc.
#include "server/gateway/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "engine/core/prefix_key.h"
#include "server/gateway/prepared_request.h"
#include "tests/server/gateway/gateway_fixture.h"

namespace tandem::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using GatewayTest = GatewayFixture;

TEST_F(GatewayTest, AnswersAChatWithPrefillThenDecode) {
  AnswerWith("Hello, world!");
  v1::PrefillRequest prefill;
  v1::DecodeRequest decode;
  const auto answer_prefill = prefill_worker_.prefill;
  const auto answer_decode = decode_worker_.decode;
  prefill_worker_.prefill = [&](const v1::PrefillRequest& request, const auto& call) {
    prefill = request;
    answer_prefill(request, call);
  };
  decode_worker_.decode = [&](const v1::DecodeRequest& request, const auto& call) {
    decode = request;
    answer_decode(request, call);
  };
  Start();
  const ClientResponse response = Chat({{"model", "m"}, {"temperature", 0}, {"seed", 5}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.Header("Content-Type"), "application/json");
  EXPECT_EQ(response.Header("x-tandem-path"), "disaggregated");

  const Json body = response.json();
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "Hello, world!");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["stop_reason"].is_null());
  const size_t num_prompt_tokens = Ids("[user]Hi[assistant]").size();
  EXPECT_EQ(body["usage"]["prompt_tokens"], num_prompt_tokens);
  EXPECT_EQ(body["usage"]["completion_tokens"], Ids("Hello, world!").size() + 1);
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(body["tandem"]["kv_bytes"], 1000);
  EXPECT_EQ(body["tandem"]["prefill"], "prefill-0");
  EXPECT_EQ(body["tandem"]["decode"], "decode-0");

  EXPECT_EQ(prefill.request().prompt_size(), static_cast<int>(num_prompt_tokens));
  EXPECT_TRUE(prefill.hand_off());
  EXPECT_EQ(prefill.epoch(), 7u);
  EXPECT_EQ(prefill.request().sampling().seed(), 5u);
  EXPECT_EQ(prefill.request().sampling().max_tokens(), 64 - static_cast<int>(num_prompt_tokens));
  EXPECT_THAT(prefill.request().sampling().stop_token_ids(), ::testing::ElementsAre(2, 4));
  EXPECT_EQ(decode.prefill().address(), prefill_worker_.address());
  EXPECT_EQ(decode.prefill().epoch(), 7u);
  EXPECT_EQ(decode.request().SerializeAsString(), prefill.request().SerializeAsString());
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayTest, ReadsALongBodyAsideAndAnswersItAlike) {
  AnswerWith("Hello, world!");
  Start();
  const std::string salt(kLongBytes, 'x');
  const ClientResponse response = Chat({{"cache_salt", salt}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.json()["choices"][0]["message"]["content"], "Hello, world!");
  EXPECT_EQ(response.json()["usage"]["prompt_tokens"], Ids("[user]Hi[assistant]").size());
  const ClientResponse refused = Chat({{"cache_salt", salt}, {"temperature", -1}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "temperature");
}

TEST_F(GatewayTest, NeedsNoDecodeWorkerForOneToken) {
  AnswerWith("Hello");
  bool hands_off = true;
  const auto answer = prefill_worker_.prefill;
  prefill_worker_.prefill = [&](const v1::PrefillRequest& request, const auto& call) {
    hands_off = request.hand_off();
    answer(request, call);
  };
  Start();
  const Json body = Complete({{"prompt", "Hi"}, {"max_tokens", 1}}).json();
  EXPECT_EQ(body["choices"][0]["text"], "H");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(hands_off);
  EXPECT_EQ(decode_worker_.num_opened(), 0);
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayTest, LeavesTheDecodeWorkerWhenTheFirstTokenEndsTheAnswer) {
  AnswerWith("");
  decode_worker_.decode = [](const auto&, const auto&) {};  // waits for KV that never comes
  Start();
  const Json body = Chat({}).json();
  EXPECT_EQ(body["choices"][0]["message"]["content"], "");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 1);
  EXPECT_TRUE(decode_worker_.WaitUntilNoneIsOpen());
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayTest, UsesOneMixedWorker) {
  AnswerWith("Hello");
  scheduler_.UseMixed(decode_worker_);
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.json()["choices"][0]["text"], "Hello");
  EXPECT_EQ(response.Header("x-tandem-path"), "local");
  EXPECT_EQ(prefill_worker_.num_opened(), 0);
}

TEST_F(GatewayTest, StopsAtAStopStringAndTellsTheWorker) {
  AnswerWith("one two three");
  decode_worker_.decode = [tokens = Ids("one two three")](const auto&, const auto& call) {
    for (int i = 1; i < static_cast<int>(tokens.size()); ++i) SendToken(*call, tokens, i, 1000);
    // It would go on for ever.
  };
  Start();
  const Json body = Complete({{"prompt", "Hi"}, {"stop", {"two"}}, {"max_tokens", 30}}).json();
  EXPECT_EQ(body["choices"][0]["text"], "one ");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["choices"][0]["stop_reason"], "two");
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayTest, NamesTheStopTokenThatTheClientGave) {
  AnswerWith("Hello");
  Start();
  const Json body = Complete({{"prompt", "Hi"}, {"stop_token_ids", {kEndOfText}}}).json();
  EXPECT_EQ(body["choices"][0]["stop_reason"], kEndOfText);
}

TEST_F(GatewayTest, CutsAnUnfinishedCharacterOnlyAtTheEnd) {
  const std::vector<TokenId> bytes = {*ModelTokenizer().FindToken("Ã"),
                                      *ModelTokenizer().FindToken("Â")};
  scheduler_.UseMixed(decode_worker_);
  decode_worker_.decode = [&](const auto&, const auto& call) {
    SendToken(*call, bytes, 0, 2);
    SendToken(*call, bytes, 1, 2);
    call->Close();
  };
  Start();
  const Json body = Complete({{"prompt", "Hi"}, {"max_tokens", 2}}).json();
  EXPECT_EQ(body["choices"][0]["text"], "��");
}

TEST_F(GatewayTest, AnswersSeveralPromptsWithSeveralSamplesEach) {
  AnswerWith("Hello");
  Start();
  const Json body = Complete({{"prompt", {"a", "b"}}, {"n", 2}, {"max_tokens", 3}}).json();
  ASSERT_EQ(body["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["text"], "Hell") << "three tokens: H, e, ll";
  }
  EXPECT_EQ(body["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(body["usage"]["completion_tokens"], 12);
  EXPECT_EQ(scheduler_.route_requests().size(), 4u);
}

TEST_F(GatewayTest, EchoesOnlyThePromptForMaxTokensZero) {
  AnswerWith("Hello");
  Start();
  const Json body = Complete({{"prompt", "Hi"}, {"echo", true}, {"max_tokens", 0}}).json();
  EXPECT_EQ(body["choices"][0]["text"], "Hi");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

TEST_F(GatewayTest, ListsModels) {
  Start({.served_model_names = {"first", "org/second"}});
  const Json list = Get("/v1/models").json();
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 2u);
  EXPECT_EQ(list["data"][0]["id"], "first");
  EXPECT_EQ(list["data"][0]["root"], "first");
  EXPECT_EQ(list["data"][0]["owned_by"], "tandem");
  EXPECT_EQ(list["data"][0]["max_model_len"], 64)
      << "what the workers hold, not what the model can";
  EXPECT_EQ(Get("/v1/models/org/second").json()["id"], "org/second");
  EXPECT_EQ(Get("/v1/models/org%2Fsecond").json()["id"], "org/second");
  const ClientResponse unknown = Get("/v1/models/third");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["error"]["code"], "model_not_found");
}

TEST_F(GatewayTest, TokenizesInBothDialects) {
  Start();
  const Json vllm = Post("/tokenize", {{"prompt", "Hello"}, {"return_token_strs", true}}).json();
  EXPECT_EQ(vllm["tokens"], Json(Ids("Hello")));
  EXPECT_EQ(vllm["count"], Ids("Hello").size());
  EXPECT_EQ(vllm["max_model_len"], 64);
  EXPECT_EQ(vllm["token_strs"], Json({"H", "e", "ll", "o"}));
  const Json llama_cpp = Post("/tokenize", {{"content", "Hello"}}).json();
  EXPECT_EQ(llama_cpp["tokens"], Json(Ids("Hello")));
  const Json chat =
      Post("/tokenize", {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}}).json();
  EXPECT_EQ(chat["tokens"], Json(Ids("[user]Hi[assistant]")));
}

TEST_F(GatewayTest, DetokenizesForBothDialects) {
  Start();
  const Json body = Post("/detokenize", {{"tokens", Ids("Hello")}}).json();
  EXPECT_EQ(body["prompt"], "Hello");
  EXPECT_EQ(body["content"], "Hello");
  EXPECT_EQ(Post("/detokenize", Json::object()).json()["error"]["param"], "tokens");
  const ClientResponse unknown = Post("/detokenize", {{"tokens", {1, 123456}}});
  EXPECT_EQ(unknown.status, 400);
  EXPECT_THAT(unknown.body, HasSubstr("123456, outside the vocabulary"));
}

TEST_F(GatewayTest, TellsItsVersionAndThatItLives) {
  Start();
  EXPECT_EQ(Get("/version").body, R"({"version":"1.2.3"})");
  EXPECT_EQ(Get("/live").status, 200);
  for (const char* path : {"/health", "/v1/health", "/ready"}) {
    EXPECT_EQ(Get(path).body, R"({"status":"ok"})");
  }
}

TEST_F(GatewayTest, IsNotReadyBeforeARouteExists) {
  scheduler_.cluster.add_instances();
  scheduler_.cluster.set_servable(false);
  Start();
  const ClientResponse response = Get("/health");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body,
            R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})");
  EXPECT_EQ(response.Header("Retry-After"), "1");
  EXPECT_EQ(Get("/live").status, 200);
}

TEST_F(GatewayTest, ExportsMetricsOfRequestsAndWorkers) {
  AnswerWith("Hello");
  Start();
  Complete({{"prompt", "Hi"}});
  Complete({{"prompt", "Hi"}, {"n", 0}});
  // A request leaves the gateway after its last byte has.
  ClientResponse response;
  const absl::Time deadline = absl::Now() + kPatience;
  do {
    response = Get("/metrics");
  } while (!absl::StrContains(response.body, "tandem_gateway_requests 0\n") &&
           absl::Now() < deadline);
  EXPECT_EQ(response.Header("Content-Type"), "text/plain; version=0.0.4");
  EXPECT_THAT(
      response.body,
      AllOf(HasSubstr("tandem_requests_total{outcome=\"stop\"} 1\n"),
            HasSubstr("tandem_requests_total{outcome=\"rejected\"} 1\n"),
            HasSubstr("tandem_time_to_first_token_seconds_count 1\n"),
            HasSubstr("tandem_inter_token_latency_seconds_count 4\n"),
            HasSubstr("tandem_e2e_request_latency_seconds_bucket{le=\"0.3\"}"),
            HasSubstr("tandem_generation_tokens_total 5\n"),
            HasSubstr("tandem_kv_blocks{instance_id=\"decode-0\",role=\"decode\",state=\"free\"} "
                      "10\n"),
            HasSubstr("tandem_kv_bytes_total{instance_id=\"decode-0\",role=\"decode\"} 4096\n"),
            HasSubstr("tandem_gateway_requests 0\n"), Not(HasSubstr("request_id"))));
}

TEST_F(GatewayTest, EchoesTheRequestId) {
  AnswerWith("Hello");
  Start();
  const ClientResponse named = Post("/v1/completions", {{"prompt", "Hi"}}, "X-Request-Id: abc\r\n");
  EXPECT_EQ(named.Header("X-Request-Id"), "abc");
  EXPECT_EQ(named.json()["id"], "cmpl-abc");
  const ClientResponse error = Post("/nowhere", Json::object(), "x-request-id: abc\r\n");
  EXPECT_EQ(error.Header("X-Request-Id"), "abc");
  EXPECT_EQ(Get("/live").Header("X-Request-Id").size(), 24u);
}

struct Refusal {
  const char* name;
  Json body;
  int status;
  const char* param;
  const char* code;
};

TEST_F(GatewayTest, RefusesWhatCannotBeServed) {
  AnswerWith("Hello");
  Start();
  const std::vector<Refusal> refusals = {
      {"unknown model", {{"model", "x"}, {"prompt", "Hi"}}, 404, "model", "model_not_found"},
      {"empty prompt", {{"prompt", ""}}, 400, "prompt", ""},
      {"token outside", {{"prompt", {9999}}}, 400, "prompt", ""},
      {"too long",
       {{"prompt", "Hi"}, {"max_tokens", 64}},
       400,
       "prompt",
       "context_length_exceeded"},
      {"temperature", {{"prompt", "Hi"}, {"temperature", -1}}, 400, "temperature", ""},
      {"top_p", {{"prompt", "Hi"}, {"top_p", 0}}, 400, "top_p", ""},
      {"bias outside", {{"prompt", "Hi"}, {"logit_bias", {{"9999", 1}}}}, 400, "logit_bias", ""},
      {"min over max", {{"prompt", "Hi"}, {"min_tokens", 17}}, 400, "min_tokens", ""},
      {"suffix", {{"prompt", "Hi"}, {"suffix", "x"}}, 501, "suffix", ""},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.name);
    const ClientResponse response = Complete(refusal.body);
    EXPECT_EQ(response.status, refusal.status) << response.body;
    const Json error = response.json()["error"];
    EXPECT_EQ(error["param"], refusal.param);
    EXPECT_EQ(error["code"], *refusal.code == 0 ? Json(nullptr) : Json(refusal.code));
  }
  EXPECT_EQ(scheduler_.route_requests().size(), 0u) << "a bad request costs the cluster nothing";
}

TEST_F(GatewayTest, SaysHowFarOverTheContextARequestIs) {
  Start();
  const Json error = Complete({{"prompt", "Hi"}, {"max_tokens", 64}}).json()["error"];
  EXPECT_EQ(error["message"],
            "This model's maximum context length is 64 tokens. However, you requested 66 tokens "
            "(2 in the messages, 64 in the completion).");
}

TEST_F(GatewayTest, ClampsADefaultToTheRoomThatIsLeft) {
  AnswerWith("Hello");
  Start();
  Complete({{"prompt", Json(std::vector<TokenId>(60, 44))}});
  ASSERT_EQ(scheduler_.route_requests().size(), 1u);
  EXPECT_EQ(scheduler_.route_requests()[0].max_tokens(), 4);
  EXPECT_EQ(Complete({{"prompt", Json(std::vector<TokenId>(64, 44))}}).status, 400);
}

TEST_F(GatewayTest, RefusesWrongPathsMethodsAndTypes) {
  Start();
  EXPECT_EQ(Get("/nowhere").status, 404);
  const ClientResponse method = Get("/v1/chat/completions");
  EXPECT_EQ(method.status, 405);
  EXPECT_EQ(method.Header("Allow"), "POST");
  EXPECT_EQ(method.json()["error"]["type"], "invalid_request_error");
  ClientConnection connection(gateway_->http_port());
  connection.Send(
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(connection.Read().status, 415);
  const ClientResponse packed =
      Post("/v1/completions", {{"prompt", "Hi"}}, "Content-Encoding: gzip\r\n");
  EXPECT_EQ(packed.status, 415);
  EXPECT_THAT(packed.body, HasSubstr("gzip"));
  EXPECT_EQ(Post("/v1/embeddings", Json::object()).status, 501);
}

TEST_F(GatewayTest, AsksForAnApiKeyWhereItMatters) {
  AnswerWith("Hello");
  Start({.api_keys = {"secret", "other"}});
  const ClientResponse without = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(without.status, 401);
  EXPECT_EQ(without.json()["error"]["code"], "invalid_api_key");
  const Json body = {{"prompt", "Hi"}};
  EXPECT_EQ(Post("/v1/completions", body, "Authorization: Bearer secre\r\n").status, 401);
  EXPECT_EQ(Post("/v1/completions", body, "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(Post("/v1/completions", body, "authorization: bearer other\r\n").status, 200);
  EXPECT_EQ(Get("/v1/models").status, 401);
  for (const char* open : {"/health", "/live", "/ready", "/metrics", "/version"}) {
    EXPECT_EQ(Get(open).status, 200) << open;
  }
}

TEST_F(GatewayTest, TellsWorkersWhoAsksAndHowSoonTheFirstTokenIsWanted) {
  AnswerWith("Hello");
  v1::EngineRequest seen;
  const FakeWorker::PrefillScript whole = prefill_worker_.prefill;
  prefill_worker_.prefill = [&](const v1::PrefillRequest& request, const auto& call) {
    seen = request.request();
    whole(request, call);
  };
  Start();
  const Json body = {{"prompt", "Hi"}, {"cache_salt", "s"}};
  const char kTenant[] = "x-llm-d-inference-fairness-id: team-a\r\n";
  EXPECT_EQ(
      Post("/v1/completions", body, absl::StrCat(kTenant, "x-llm-d-slo-ttft-ms: 250.5\r\n")).status,
      200);
  EXPECT_EQ(seen.tenant(), HashName("team-a"));
  EXPECT_EQ(seen.cache_salt(), HashName("s"));
  EXPECT_EQ(seen.due_unix_us() - seen.arrival_unix_us(), 250500);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "Hi"}}).status, 200);
  EXPECT_EQ(seen.tenant(), 0u);
  EXPECT_EQ(seen.due_unix_us(), 0);
  for (const char* bad : {"soon", "-1", "0", "nan"}) {
    const ClientResponse response =
        Post("/v1/completions", body, absl::StrCat("x-llm-d-slo-ttft-ms: ", bad, "\r\n"));
    EXPECT_EQ(response.status, 400) << bad;
    EXPECT_EQ(response.json()["error"]["param"], "x-llm-d-slo-ttft-ms");
  }
}

TEST_F(GatewayTest, RefusesMoreRequestsThanItMayAnswerAtOnce) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start({.max_concurrent_requests = 1});
  ClientConnection first(gateway_->http_port());
  first.SendRequest("POST", "/v1/completions", R"({"prompt":"Hi"})");
  ASSERT_TRUE(prefill_worker_.WaitForOpened(1));
  const ClientResponse second = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(second.status, 503);
  EXPECT_EQ(second.Header("Retry-After"), "1");
}

TEST_F(GatewayTest, DrainsBeforeItEnds) {
  AnswerWith("Hello");
  std::shared_ptr<FakeCall> waiting;
  absl::Notification has_call;
  decode_worker_.decode = [&](const auto&, const auto& call) {
    waiting = call;
    has_call.Notify();
  };
  Start();
  ClientConnection client(gateway_->http_port());
  client.SendRequest("POST", "/v1/completions", R"({"prompt":"Hi","max_tokens":2})");
  ASSERT_TRUE(has_call.WaitForNotificationWithTimeout(kPatience));
  int num_cut = -1;
  std::thread shutdown([&] { num_cut = gateway_->Shutdown(kPatience); });
  while (Get("/ready").status == 200) {
  }
  EXPECT_EQ(Get("/live").status, 200);
  const ClientResponse refused = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.Header("Connection"), "close");
  SendToken(*waiting, Ids("Hello"), 1, 2);
  waiting->Close();
  EXPECT_EQ(client.Read().json()["choices"][0]["text"], "He");
  client.Close();
  shutdown.join();
  EXPECT_EQ(num_cut, 0);
}

TEST_F(GatewayTest, CutsWhatIsLeftAfterTheDrainTimeout) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  ClientConnection client(gateway_->http_port());
  client.SendRequest("POST", "/v1/completions", R"({"prompt":"Hi"})");
  ASSERT_TRUE(decode_worker_.WaitForOpened(1));
  int num_cut = 0;
  std::thread shutdown([&] { num_cut = gateway_->Shutdown(absl::Milliseconds(1)); });
  EXPECT_EQ(client.Read().status, 503);
  client.Close();
  shutdown.join();
  EXPECT_EQ(num_cut, 1);
  EXPECT_TRUE(prefill_worker_.WaitForCancelled(1));
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
}

TEST_F(GatewayTest, NamesThePortThatIsTaken) {
  Start();
  GatewayOptions options;
  options.http_port = gateway_->http_port();
  options.grpc_port = 0;
  options.model_path = Model().path();
  options.scheduler = scheduler_.NewChannel();
  EXPECT_THAT(Gateway::Create(options).status().message(),
              HasSubstr(absl::StrCat("127.0.0.1:", gateway_->http_port())));
  options.http_port = 0;
  options.grpc_port = gateway_->grpc_port();
  EXPECT_THAT(Gateway::Create(options).status().message(),
              HasSubstr(absl::StrCat("127.0.0.1:", gateway_->grpc_port())));
}

TEST_F(GatewayTest, NamesAModelThatIsNotThere) {
  GatewayOptions options;
  options.model_path = "/nowhere/model.gguf";
  options.scheduler = scheduler_.NewChannel();
  EXPECT_THAT(Gateway::Create(options).status().message(), HasSubstr("/nowhere/model.gguf"));
}

}  // namespace
}  // namespace tandem::testing
