// The gateway when no route is given, when a worker fails a request, and when one is lost and
// others go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "tests/server/gateway/gateway_fixture.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;

using GatewayFailureTest = GatewayFixture;

TEST_F(GatewayFailureTest, PassesOnWhyNoRouteWasFound) {
  scheduler_.route_status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "no decode worker");
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.Header("Retry-After"), "1");
  EXPECT_EQ(response.json()["error"]["message"], "no decode worker");
  EXPECT_EQ(response.json()["error"]["type"], "service_unavailable");
  EXPECT_EQ(scheduler_.num_completed(), 0u);
}

TEST_F(GatewayFailureTest, AnswersShedRequestsWith429) {
  scheduler_.route_status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "shed");
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.Header("Retry-After"), "1");
  EXPECT_EQ(response.Header("x-llm-d-request-dropped-reason"), "rejected-saturated");
}

TEST_F(GatewayFailureTest, NamesTheWorkerThatFailed) {
  AnswerWith("Hello");
  prefill_worker_.prefill = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::INTERNAL, "step died"));
  };
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.json()["error"]["message"], "prefill worker prefill-0: step died");
  EXPECT_TRUE(decode_worker_.WaitUntilNoneIsOpen());
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayFailureTest, TreatsARestartedWorkerAsUnavailable) {
  AnswerWith("Hello");
  decode_worker_.decode = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "another epoch"));
  };
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  Start();
  EXPECT_EQ(Complete({{"prompt", "Hi"}}).status, 503);
  EXPECT_TRUE(prefill_worker_.WaitUntilNoneIsOpen());
}

TEST_F(GatewayFailureTest, TreatsAWorkerThatIsGoneAsUnavailable) {
  AnswerWith("Hello");
  Start();
  decode_worker_.Kill();
  EXPECT_EQ(Complete({{"prompt", "Hi"}}).status, 503);
}

TEST_F(GatewayFailureTest, FailsWhenAStreamEndsTooEarly) {
  AnswerWith("Hello");
  decode_worker_.decode = [](const auto&, const auto& call) { call->Close(); };
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, HasSubstr("decode worker decode-0"));
}

TEST_F(GatewayFailureTest, ReplaysThePromptAndTheTokensSoFarWhenAWorkerIsLost) {
  AnswerWith("Hello");
  const FakeWorker::DecodeScript whole = decode_worker_.decode;
  std::atomic<int> num_calls = 0;
  decode_worker_.decode = [&, tokens = Ids("Hello")](const auto& request, const auto& call) {
    if (++num_calls > 1) return whole(request, call);
    SendToken(*call, tokens, 1, 100);
    SendToken(*call, tokens, 2, 100);
    call->Close(grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed"));
  };
  scheduler_.routes_to_lost_workers = true;
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.json()["choices"][0]["text"], "Hello");
  EXPECT_EQ(response.Header("x-tandem-path"), "migrated");
  const std::vector<v1::RouteRequest> routes = scheduler_.route_requests();
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0].replay_of(), 0u);
  EXPECT_EQ(routes[1].replay_of(), 1u);
  EXPECT_EQ(routes[1].attempt(), 2u);
  EXPECT_EQ(routes[1].num_prompt_tokens(), routes[0].num_prompt_tokens() + 3);
  ASSERT_EQ(routes[1].avoid_size(), 1);
  EXPECT_EQ(routes[1].avoid(0).instance_id(), "decode-0");
  EXPECT_THAT(Get("/metrics").body, HasSubstr("tandem_fallback_total{reason=\"migrated\"} 1"));
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayFailureTest, GoesOnWhenPrefillFailsAfterItsToken) {
  AnswerWith("Hello");
  prefill_worker_.prefill = [tokens = Ids("Hello")](const auto&, const auto& call) {
    SendToken(*call, tokens, 0, 100);
    call->Close(grpc::Status(grpc::StatusCode::ABORTED, "the lease has ended"));
  };
  Start();
  EXPECT_EQ(Complete({{"prompt", "Hi"}}).json()["choices"][0]["text"], "Hello");
}

TEST_F(GatewayFailureTest, CountsATokenThatBothWorkersDrewOnce) {
  AnswerWith("Hello");
  std::vector<TokenId> tokens = Ids("Hello");
  tokens.push_back(kEndOfText);
  decode_worker_.decode = [tokens](const auto&, const auto& call) {
    for (int i = 0; i < static_cast<int>(tokens.size()); ++i) SendToken(*call, tokens, i, 100);
    call->Close();
  };
  Start();
  const Json body = Complete({{"prompt", "Hi"}}).json();
  EXPECT_EQ(body["choices"][0]["text"], "Hello");
  EXPECT_EQ(body["usage"]["completion_tokens"], tokens.size());
}

TEST_F(GatewayFailureTest, CountsARequestThatMovesTwiceOnce) {
  AnswerWith("Hello");
  const FakeWorker::DecodeScript whole = decode_worker_.decode;
  std::atomic<int> num_calls = 0;
  decode_worker_.decode = [&, tokens = Ids("Hello")](const auto& request, const auto& call) {
    const int call_index = ++num_calls;
    if (call_index > 2) return whole(request, call);
    SendToken(*call, tokens, call_index, 100);
    call->Close(grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed"));
  };
  scheduler_.routes_to_lost_workers = true;
  Start();
  EXPECT_EQ(Complete({{"prompt", "Hi"}}).json()["choices"][0]["text"], "Hello");
  EXPECT_EQ(num_calls, 3);
  EXPECT_THAT(Get("/metrics").body, HasSubstr("tandem_fallback_total{reason=\"migrated\"} 1"));
}

void SendLeaving(FakeCall& call) {
  v1::TokenEvent event;
  event.set_leaving(true);
  call.Send(event);
}

TEST_F(GatewayFailureTest, GoesOnElsewhereWhenAWorkerSaysThatItWillEnd) {
  AnswerWith("Hello");
  const FakeWorker::DecodeScript whole = decode_worker_.decode;
  std::atomic<int> num_calls = 0;
  decode_worker_.decode = [&, tokens = Ids("Hello")](const auto& request, const auto& call) {
    if (++num_calls > 1) return whole(request, call);
    SendToken(*call, tokens, 1, 100);
    SendLeaving(*call);  // and sends nothing more until it is cancelled
  };
  scheduler_.routes_to_lost_workers = true;
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.json()["choices"][0]["text"], "Hello");
  EXPECT_EQ(response.Header("x-tandem-path"), "migrated");
  const std::vector<v1::RouteRequest> routes = scheduler_.route_requests();
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[1].replay_of(), 1u);
  ASSERT_EQ(routes[1].avoid_size(), 1);
  EXPECT_EQ(routes[1].avoid(0).instance_id(), "decode-0");
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("tandem_fallback_total{reason=\"migrated\"} 1"));
}

TEST_F(GatewayFailureTest, StaysWithAWorkerThatWillEndWhileNoOtherOneIsThere) {
  AnswerWith("Hello");
  const FakeWorker::DecodeScript whole = decode_worker_.decode;
  decode_worker_.decode = [&](const auto& request, const auto& call) {
    SendLeaving(*call);
    whole(request, call);
  };
  Start();
  const ClientResponse response = Complete({{"prompt", "Hi"}});
  EXPECT_EQ(response.json()["choices"][0]["text"], "Hello");
  EXPECT_EQ(response.Header("x-tandem-path"), "disaggregated");
  EXPECT_THAT(Get("/metrics").body, HasSubstr("tandem_fallback_total{reason=\"migrated\"} 0"));
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

}  // namespace
}  // namespace tandem::testing
