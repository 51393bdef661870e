// Latency targets through the gateway: what the scheduler is asked, what is refused, what is
// counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "engine/core/prefix_key.h"
#include "proto/inference.grpc.pb.h"
#include "tests/server/gateway/gateway_fixture.h"

namespace tandem::testing {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class GatewaySloTest : public GatewayFixture {
 protected:
  static GatewayOptions WithClasses() {
    return {.slo_classes = *SloClasses::Parse(
                {"fast=ttft:60000,tpot:60000,reject", "instant=ttft:0.001,tpot:0.0001"})};
  }
  int Ask(absl::string_view headers) const {
    return Post("/v1/completions", {{"prompt", "Hi"}}, headers).status;
  }
  std::string MetricsText() const { return Get("/metrics").body; }
};

TEST_F(GatewaySloTest, AsksForARouteWithTheTargetsAndThePromptsKeys) {
  AnswerWith("Hello");
  scheduler_.UsePrefillAndDecode(prefill_worker_, decode_worker_);
  for (v1::InstanceState& instance : *scheduler_.cluster.mutable_instances()) {
    instance.mutable_registration()->mutable_layout()->set_block_size(2);
  }
  Start(WithClasses());
  const Json body = {{"prompt", {5, 6, 7, 8, 9}}, {"cache_salt", "s"}, {"max_tokens", 9}};
  EXPECT_EQ(Post("/v1/completions", body, "x-tandem-slo-class: fast\r\n").status, 200);
  const v1::RouteRequest asked = scheduler_.route_requests().at(0);
  EXPECT_GT(asked.ttft_target_ms(), 0);
  EXPECT_LE(asked.ttft_target_ms(), 60000);
  EXPECT_EQ(asked.tpot_target_ms(), 60000);
  EXPECT_TRUE(asked.reject_late());
  EXPECT_EQ(asked.max_tokens(), 9);
  ASSERT_EQ(asked.prefixes_size(), 1);
  EXPECT_EQ(asked.prefixes(0).block_size(), 2);
  EXPECT_THAT(asked.prefixes(0).keys(),
              ElementsAreArray(PrefixKeys(HashName("s"), {5, 6, 7, 8, 9}, 2)));
}

TEST_F(GatewaySloTest, ARequestWithoutTargetsHasNone) {
  AnswerWith("Hello");
  Start(WithClasses());
  EXPECT_EQ(Ask(""), 200);
  const v1::RouteRequest asked = scheduler_.route_requests().at(0);
  EXPECT_EQ(asked.ttft_target_ms(), 0);
  EXPECT_EQ(asked.tpot_target_ms(), 0);
  EXPECT_FALSE(asked.reject_late());
}

TEST_F(GatewaySloTest, ARefusalIsA429ThatSaysWhyAndWhenToTryAgain) {
  scheduler_.route_status =
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "wanted within 4 ms");
  Start(WithClasses());
  const ClientResponse response =
      Post("/v1/completions", {{"prompt", "Hi"}}, "x-tandem-slo-class: fast\r\n");
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.Header("Retry-After"), "1");
  EXPECT_EQ(response.Header("x-llm-d-request-dropped-reason"), "rejected-saturated");
  EXPECT_EQ(response.json()["error"]["message"], "wanted within 4 ms");
  const std::string metrics = MetricsText();
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="fast"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_missed_total{cause="shed",slo_class="fast"} 1)"));
}

TEST_F(GatewaySloTest, CountsByClassWhatWasAnsweredInTime) {
  AnswerWith("Hello there");
  Start(WithClasses());
  EXPECT_EQ(Ask("x-tandem-slo-class: fast\r\n"), 200);
  EXPECT_EQ(Ask("x-tandem-slo-class: fast\r\n"), 200);
  EXPECT_EQ(Ask("x-tandem-slo-class: instant\r\n"), 200);
  EXPECT_EQ(Ask("x-tandem-ttft-ms: 60000\r\n"), 200);
  EXPECT_EQ(Ask("x-llm-d-inference-objective: unknown\r\n"), 200);
  EXPECT_EQ(Ask("x-tandem-slo-class: unknown\r\n"), 400);
  const std::string metrics = MetricsText();
  for (const char* line : {R"(tandem_slo_requests_total{met="true",slo_class="fast"} 2)",
                           R"(tandem_slo_requests_total{met="false",slo_class="fast"} 0)",
                           R"(tandem_slo_requests_total{met="false",slo_class="instant"} 1)",
                           R"(tandem_slo_missed_total{cause="ttft",slo_class="instant"} 1)",
                           R"(tandem_slo_missed_total{cause="tpot",slo_class="instant"} 1)",
                           R"(tandem_slo_requests_total{met="true",slo_class="custom"} 1)",
                           R"(tandem_slo_requests_total{met="true",slo_class="none"} 1)",
                           R"(tandem_slo_requests_total{met="false",slo_class="none"} 0)"}) {
    EXPECT_THAT(metrics, HasSubstr(line));
  }
}

TEST_F(GatewaySloTest, AFailedRequestIsAMiss) {
  prefill_worker_.prefill = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::INTERNAL, "broken"));
  };
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start(WithClasses());
  EXPECT_EQ(Ask("x-tandem-slo-class: fast\r\n"), 500);
  EXPECT_THAT(MetricsText(),
              HasSubstr(R"(tandem_slo_missed_total{cause="failed",slo_class="fast"} 1)"));
}

TEST_F(GatewaySloTest, WhatIsRefusedUnreadIsCountedByItsTargets) {
  GatewayOptions options = WithClasses();
  options.max_concurrent_requests = 0;
  Start(std::move(options));
  EXPECT_EQ(Ask("x-tandem-ttft-ms: 60000\r\n"), 503);
  EXPECT_EQ(Ask("x-tandem-slo-class: fast\r\n"), 503);
  const std::string metrics = MetricsText();
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="custom"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="fast"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="none"} 0)"));
}

TEST_F(GatewaySloTest, WhatAClientGivesUpIsAMissOnceItsFirstTokenIsLate) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start(WithClasses());
  size_t num_sent = 0;
  for (const char* headers : {"x-tandem-slo-class: fast\r\n", "x-tandem-ttft-ms: 0.001\r\n"}) {
    ClientConnection connection(gateway_->http_port());
    connection.SendRequest("POST", "/v1/completions", R"({"prompt":"Hi"})", headers);
    ++num_sent;
    const absl::Time deadline = absl::Now() + kPatience;
    while (scheduler_.route_requests().size() < num_sent) ASSERT_LT(absl::Now(), deadline);
  }
  const absl::Time deadline = absl::Now() + kPatience;
  while (!absl::StrContains(MetricsText(), R"(tandem_requests_total{outcome="cancelled"} 2)")) {
    ASSERT_LT(absl::Now(), deadline);
  }
  const std::string metrics = MetricsText();
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="fast"} 0)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_requests_total{met="false",slo_class="custom"} 1)"));
  EXPECT_THAT(metrics, HasSubstr(R"(tandem_slo_missed_total{cause="ttft",slo_class="custom"} 1)"));
  EXPECT_THAT(metrics,
              HasSubstr(R"(tandem_slo_missed_total{cause="failed",slo_class="custom"} 0)"));
}

TEST_F(GatewaySloTest, TellsWhatWasPredictedBesideTheTiming) {
  AnswerWith("Hello");
  scheduler_.route.set_ttft_ms(123);
  scheduler_.route.set_tpot_ms(4.5);
  Start();
  const Json timing = Post("/v1/completions", {{"prompt", "Hi"}}, "x-tandem-timing: true\r\n")
                          .json()["tandem"]["timing"];
  EXPECT_GE(timing["predicted_ttft_ms"], 123.0);
  EXPECT_EQ(timing["predicted_tpot_ms"], 4.5);
}

TEST_F(GatewaySloTest, GrpcRequestsHaveTargetsAndClassesToo) {
  AnswerWith("Hello");
  Start(WithClasses());
  const auto channel = grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->grpc_port()),
                                           grpc::InsecureChannelCredentials());
  const auto stub = v1::Inference::NewStub(channel);
  const auto generate = [&stub](const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    const auto reader = stub->Generate(&context, request);
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
    }
    return reader->Finish();
  };
  v1::GenerateRequest request;
  request.set_text("Hi");
  request.set_slo_class("fast");
  request.set_tpot_target_ms(7);
  request.set_reject_late(false);
  EXPECT_TRUE(generate(request).ok());
  const v1::RouteRequest asked = scheduler_.route_requests().at(0);
  EXPECT_GT(asked.ttft_target_ms(), 1000);
  EXPECT_EQ(asked.tpot_target_ms(), 7);
  EXPECT_FALSE(asked.reject_late());
  request.set_slo_class("unknown");
  EXPECT_EQ(generate(request).error_code(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace tandem::testing
