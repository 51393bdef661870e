// Planning over HTTP, and what the scheduler is told for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/server/gateway/gateway_fixture.h"

namespace tandem {
namespace {

using testing::ClientResponse;
using testing::GatewayFixture;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Json;
using ::testing::SizeIs;

class GatewayPlanTest : public GatewayFixture {
 protected:
  static std::string ParamOf(const ClientResponse& response) {
    return Json::parse(response.body)["error"]["param"];
  }
};

TEST_F(GatewayPlanTest, ThePlanIsShownWithDecisionsAndTheirReasons) {
  scheduler_.plan.set_mode("dry-run");
  scheduler_.plan.set_status("watches");
  scheduler_.plan.mutable_placement()->set_decode(2);
  scheduler_.plan.mutable_traffic()->set_rate(4.5);
  v1::PlanDecision& decision = *scheduler_.plan.add_decisions();
  decision.set_unix_ms(1500);
  decision.set_action("would_switch");
  decision.set_trigger("rate 1 -> 2 requests/s");
  decision.mutable_present()->set_attainment(0.5);
  v1::RoleChange& change = *decision.add_switches();
  change.set_instance_id("decode-0");
  change.set_from(v1::ROLE_DECODE);
  change.set_to(v1::ROLE_PREFILL);
  Start();
  const ClientResponse response = Get("/admin/v1/plan");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json plan = Json::parse(response.body);
  EXPECT_EQ(plan["mode"], "dry-run");
  EXPECT_EQ(plan["placement"], (Json{{"prefill", 0}, {"decode", 2}, {"mixed", 0}}));
  EXPECT_EQ(plan["wanted_replicas"], nullptr);
  EXPECT_EQ(plan["planned_for"], nullptr);
  EXPECT_EQ(plan["traffic"]["rate"], 4.5);
  const Json& shown = plan["decisions"][0];
  EXPECT_EQ(shown["time"], 1.5);
  EXPECT_EQ(shown["trigger"], "rate 1 -> 2 requests/s");
  EXPECT_EQ(shown["present"]["attainment"], 0.5);
  EXPECT_EQ(shown["switches"][0],
            (Json{{"instance", "decode-0"}, {"from", "decode"}, {"to", "prefill"}}));
}

TEST_F(GatewayPlanTest, AQuestionIsPassedOnAndTheAnswerShown) {
  scheduler_.what_if.mutable_measured()->set_attainment(0.75);
  scheduler_.what_if.mutable_other_simulated()->mutable_ttft_ms()->set_p90(123);
  Start();
  const ClientResponse response =
      Post("/admin/v1/whatif", {{"placement", {{"prefill", 1}, {"decode", 3}}},
                                {"slo", {{"ttft_ms", 400}, {"tpot_ms", 40.5}}},
                                {"minutes", 2.5},
                                {"rate_scale", 2}});
  ASSERT_EQ(response.status, 200) << response.body;
  const Json answer = Json::parse(response.body);
  EXPECT_EQ(answer["measured"]["attainment"], 0.75);
  EXPECT_EQ(answer["whatif"]["simulated"]["ttft_ms"]["p90"], 123);
  ASSERT_THAT(scheduler_.what_if_requests(), SizeIs(1));
  const v1::WhatIfRequest asked = scheduler_.what_if_requests()[0];
  EXPECT_EQ(asked.placement().prefill(), 1);
  EXPECT_EQ(asked.placement().decode(), 3);
  EXPECT_EQ(asked.ttft_target_ms(), 400);
  EXPECT_EQ(asked.tpot_target_ms(), 40.5);
  EXPECT_EQ(asked.minutes(), 2.5);
  EXPECT_EQ(asked.rate_scale(), 2);
}

TEST_F(GatewayPlanTest, AnEmptyQuestionIsAboutThePresentAsItIs) {
  Start();
  ASSERT_EQ(Post("/admin/v1/whatif", Json::object()).status, 200);
  const v1::WhatIfRequest asked = scheduler_.what_if_requests().at(0);
  EXPECT_FALSE(asked.has_placement());
  EXPECT_EQ(asked.ttft_target_ms(), 0);
  EXPECT_EQ(asked.minutes(), 5);
  EXPECT_EQ(asked.rate_scale(), 1);
}

TEST_F(GatewayPlanTest, BadQuestionsNameTheField) {
  Start();
  const std::pair<const char*, const char*> bad[] = {
      {R"({"placements": 1})", "placements"},
      {R"({"placement": 3})", "placement"},
      {R"({"placement": {"decode": 3}})", "placement"},
      {R"({"placement": {"mixed": -1}})", "placement.mixed"},
      {R"({"placement": {"mixed": 1.5}})", "placement.mixed"},
      {R"({"placement": {"mixed": 1, "both": 1}})", "placement.both"},
      {R"({"slo": {"ttft_ms": 0}})", "slo.ttft_ms"},
      {R"({"slo": {"tpot_ms": "fast"}})", "slo.tpot_ms"},
      {R"({"slo": {"ttft": 400}})", "slo.ttft"},
      {R"({"minutes": 0})", "minutes"},
      {R"({"rate_scale": 1000})", "rate_scale"},
  };
  for (const auto& [body, field] : bad) {
    const ClientResponse response = Post("/admin/v1/whatif", Json::parse(body));
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(ParamOf(response), field) << response.body;
  }
  EXPECT_THAT(scheduler_.what_if_requests(), IsEmpty());
}

TEST_F(GatewayPlanTest, WhatTheSchedulerCannotAnswerIsAConflict) {
  scheduler_.what_if_status =
      grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "no requests came within 5 minutes");
  Start();
  const ClientResponse response = Post("/admin/v1/whatif", Json::object());
  EXPECT_EQ(response.status, 409);
  EXPECT_THAT(response.body, HasSubstr("no requests came"));
}

TEST_F(GatewayPlanTest, TheProfileIsShownAsTheSchedulerWritesIt) {
  scheduler_.profile = "{\"tandem_profile\": 1}";
  Start();
  const ClientResponse response = Get("/admin/v1/profile");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body, "{\"tandem_profile\": 1}\n");
  ASSERT_THAT(scheduler_.profile_requests(), SizeIs(1));
  EXPECT_FALSE(scheduler_.profile_requests()[0].has_path()) << "no request has come yet";
}

TEST_F(GatewayPlanTest, TheProfileIsAskedForWithWhatRequestsWaitFor) {
  // The worker's clock says that it took the request, began and sent within 30 ms, and had all KV
  // 8 ms later.
  const auto times = [](int kv_ready_ms) {
    v1::StageTimes times;
    const int64_t now = absl::ToUnixMicros(absl::Now());
    times.set_accepted_unix_us(now - 30000);
    times.set_begun_unix_us(now - 20000);
    times.set_sent_unix_us(now);
    times.set_step_begin_unix_us(now);
    times.set_kv_ready_unix_us(now + int64_t{1000} * kv_ready_ms);
    return times;
  };
  const std::vector<TokenId> tokens = {Ids("a")[0], Ids("b")[0]};
  prefill_worker_.prefill = [=](const v1::PrefillRequest&, const auto& call) {
    v1::TokenEvent event;
    event.add_tokens()->set_token(tokens[0]);
    *event.mutable_times() = times(0);
    call->Send(std::move(event));
    call->Close();
  };
  decode_worker_.decode = [=](const v1::DecodeRequest&, const auto& call) {
    v1::TokenEvent event;
    event.set_index(1);
    event.add_tokens()->set_token(tokens[1]);
    event.set_finish_reason(v1::FINISH_REASON_LENGTH);
    *event.mutable_times() = times(100'000);
    call->Send(std::move(event));
    call->Close();
  };
  Start();
  ASSERT_EQ(Complete({{"prompt", "Hi"}, {"max_tokens", 2}}).status, 200);
  ASSERT_EQ(Get("/admin/v1/profile").status, 200);
  const v1::RequestPath path = scheduler_.profile_requests().at(0).path();
  EXPECT_EQ(path.requests(), 1);
  EXPECT_GT(path.ingress_ms(), 0);
  EXPECT_GT(path.route_ms(), 0);
  EXPECT_EQ(path.handoffs(), 1);
  EXPECT_GT(path.kv_exposed_ms(), 50'000);
}

TEST_F(GatewayPlanTest, AProfileOfTooFewStepsIsAConflict) {
  scheduler_.profile_status =
      grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "7 of 16 steps with prompts");
  Start();
  const ClientResponse response = Get("/admin/v1/profile");
  EXPECT_EQ(response.status, 409);
  EXPECT_THAT(response.body, HasSubstr("7 of 16 steps"));
}

TEST_F(GatewayPlanTest, PlanningNeedsAKeyWhereThereAreSome) {
  GatewayOptions options;
  options.api_keys = {"secret"};
  Start(std::move(options));
  EXPECT_EQ(Get("/admin/v1/plan").status, 401);
  EXPECT_EQ(Get("/admin/v1/profile").status, 401);
  EXPECT_EQ(Post("/admin/v1/whatif", Json::object()).status, 401);
  EXPECT_EQ(Post("/admin/v1/whatif", Json::object(), "Authorization: Bearer secret\r\n").status,
            200);
}

TEST_F(GatewayPlanTest, MetricsTellDecisionsAndWantedReplicas) {
  v1::PlanCounters::Action& action = *scheduler_.cluster.mutable_plan()->add_decisions();
  action.set_action("switch");
  action.set_count(3);
  scheduler_.cluster.mutable_plan()->mutable_wanted()->set_prefill(2);
  scheduler_.UsePrefillAndDecode(prefill_worker_, decode_worker_);
  Start();
  const std::string metrics = Get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("tandem_replan_decisions_total{action=\"switch\"} 3"));
  EXPECT_THAT(metrics, HasSubstr("tandem_wanted_replicas{role=\"prefill\"} 2"));
}

TEST_F(GatewayPlanTest, TheSchedulerIsToldWhatBecameOfARequest) {
  AnswerWith("a b c d");
  GatewayOptions options;
  options.slo_classes = *SloClasses::Parse({"fast=ttft:400,tpot:40"});
  Start(std::move(options));
  const ClientResponse response =
      Post("/v1/completions", {{"prompt", "Hi"}}, "x-tandem-slo-class: fast\r\n");
  ASSERT_EQ(response.status, 200) << response.body;
  ASSERT_TRUE(scheduler_.WaitForCompleted(1));
  EXPECT_EQ(scheduler_.route_requests()[0].slo_class(), "fast");
  const v1::RequestReport report = scheduler_.completed()[0].report();
  EXPECT_EQ(report.outcome(), v1::RequestReport::SERVED);
  EXPECT_EQ(report.output_tokens(),
            Json::parse(response.body)["usage"]["completion_tokens"].get<int>());
  EXPECT_EQ(report.cached_tokens(), 1);
  EXPECT_GT(report.ttft_ms(), 0);
  EXPECT_GT(report.tpot_ms(), 0);
}

}  // namespace
}  // namespace tandem
