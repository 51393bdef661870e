#include "server/controller/planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "server/controller/cluster_messages.h"
#include "tests/server/controller/registration.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

v1::RegisterRequest Worker(const std::string& id, v1::Role role, uint64_t epoch) {
  v1::RegisterRequest worker = Registration(id, role, epoch);
  worker.set_blocks_total(2000);
  worker.mutable_model()->set_max_model_len(4096);
  v1::InstanceBudgets* budgets = worker.mutable_budgets();
  budgets->set_max_num_seqs(64);
  budgets->set_max_num_batched_tokens(512);
  budgets->set_prefill_batch_tokens(512);
  budgets->set_max_queued_requests(1000);
  budgets->set_depth(1);
  return worker;
}

// A prefill takes 1 ms per token, and a step of decoding 10 ms.
v1::HeartbeatRequest Beat(const std::string& id, uint64_t epoch) {
  v1::HeartbeatRequest beat;
  beat.set_instance_id(id);
  beat.set_epoch(epoch);
  beat.mutable_stats()->set_healthy(true);
  beat.mutable_stats()->set_blocks_total(2000);
  beat.mutable_stats()->set_blocks_free(2000);
  for (double value : {2.0, 1.0, 0.0}) beat.mutable_stats()->mutable_latency()->add_prefill(value);
  for (double value : {10.0, 0.0, 1.0}) beat.mutable_stats()->mutable_latency()->add_decode(value);
  return beat;
}

PlanningOptions Options(ReplanMode mode) {
  PlanningOptions options{.mode = mode};
  options.replan.window = absl::Minutes(1);
  options.replan.cooldown = absl::Minutes(2);
  return options;
}

// One prefill and two decode workers that change their roles when they are asked to.
class PlanningTest : public testing::Test {
 protected:
  PlanningTest() {
    Join("p", v1::ROLE_PREFILL, 1);
    Join("d", v1::ROLE_DECODE, 2);
    Join("e", v1::ROLE_DECODE, 3);
  }

  void Join(const std::string& id, v1::Role role, uint64_t epoch) {
    ASSERT_TRUE(cluster_.Register(Worker(id, role, epoch), now_).ok());
    ASSERT_TRUE(Heartbeat(Beat(id, epoch)).ok());
  }

  // The first of a new stream.
  absl::Status Heartbeat(const v1::HeartbeatRequest& beat) {
    stream_ = cluster_.OpenStream();
    return cluster_.Heartbeat(stream_, beat, now_);
  }

  Planning::SetRole Obey() {
    return [this](const std::string& address, const RoleSwitch& change, std::stop_token) {
      asked_.push_back(address + " " + std::string(InstanceRoleName(change.to)));
      v1::HeartbeatRequest beat = Beat(change.id.value(), change.epoch);
      beat.set_role(ToProto(change.to));
      return Heartbeat(beat);
    };
  }

  // Four requests a second of these lengths, looked at every five seconds.
  void Run(Planning& planning, int prompt_tokens, int output_tokens, absl::Duration length) {
    for (const absl::Time end = now_ + length; now_ < end; planning.Look(now_)) {
      for (const absl::Time look = now_ + absl::Seconds(5); now_ < look;
           now_ += absl::Milliseconds(250)) {
        Serve(planning, prompt_tokens, output_tokens);
      }
    }
  }

  void Serve(Planning& planning, int prompt_tokens, int output_tokens) {
    v1::RouteRequest route;
    route.set_num_prompt_tokens(prompt_tokens);
    route.set_max_tokens(output_tokens);
    route.set_ttft_target_ms(2000);
    route.set_tpot_target_ms(15);
    v1::RouteResponse response;
    response.set_request_id(++num_requests_);
    planning.Arrive(route, response, now_);
    v1::CompleteRequest complete;
    complete.set_request_id(num_requests_);
    complete.mutable_report()->set_outcome(v1::RequestReport::SERVED);
    complete.mutable_report()->set_output_tokens(output_tokens);
    complete.mutable_report()->set_ttft_ms(100);
    complete.mutable_report()->set_tpot_ms(12);
    planning.End(complete);
  }

  // The traffic that wants a second prefill worker, after some that does not.
  void Shift(Planning& planning) {
    Run(planning, 50, 10, absl::Minutes(2));
    Run(planning, 400, 5, absl::Minutes(3));
  }

  v1::Role RoleOf(const std::string& id) const {
    const v1::ClusterState state = cluster_.State();
    for (const v1::InstanceState& instance : state.instances()) {
      if (instance.registration().instance_id() == id) return instance.registration().role();
    }
    return v1::ROLE_UNSPECIFIED;
  }

  // The one of the two that decodes no more.
  std::string Switched() const { return RoleOf("d") != v1::ROLE_DECODE ? "d" : "e"; }

  static int64_t Count(const Planning& planning, const std::string& action) {
    const v1::PlanCounters counters = planning.Counters();
    for (const auto& decision : counters.decisions()) {
      if (decision.action() == action) return decision.count();
    }
    return -1;
  }

  absl::Time now_ = absl::FromUnixSeconds(10000);
  Cluster cluster_{{.seed = 3}};
  StreamId stream_;  // the latest
  std::vector<std::string> asked_;
  uint64_t num_requests_ = 0;
};

TEST_F(PlanningTest, AShiftSwitchesAWorkerAndIsShownWithItsReasons) {
  Planning planning(Options(ReplanMode::kOn), &cluster_, Obey());
  EXPECT_FALSE(planning.Counters().has_wanted());
  Shift(planning);
  ASSERT_THAT(asked_, SizeIs(1));
  EXPECT_EQ(Count(planning, "switch"), 1);
  const v1::Plan plan = planning.Show(now_);
  EXPECT_EQ(plan.mode(), "on");
  EXPECT_EQ(plan.placement().decode(), 1);
  EXPECT_EQ(plan.placement().prefill() + plan.placement().mixed(), 2);
  EXPECT_NEAR(plan.traffic().rate(), 4, 0.1);
  EXPECT_NEAR(plan.traffic().prompt_tokens(), 400, 1);
  EXPECT_GT(plan.planned_for().prompt_tokens(), 200);
  EXPECT_GE(plan.wanted().prefill() + plan.wanted().mixed(), 2);
  ASSERT_EQ(plan.decisions_size(), 1);
  const v1::PlanDecision& decision = plan.decisions(0);
  EXPECT_EQ(decision.action(), "switch");
  EXPECT_THAT(decision.trigger(), HasSubstr("prompts 50 -> "));
  EXPECT_THAT(decision.reason(), HasSubstr("points over 1 prefill + 2 decode"));
  ASSERT_EQ(decision.switches_size(), 1);
  EXPECT_EQ(decision.switches(0).from(), v1::ROLE_DECODE);
  EXPECT_EQ(decision.switches(0).to(), RoleOf(decision.switches(0).instance_id()));
  EXPECT_EQ(decision.chosen().placement().mixed(), plan.placement().mixed());
  EXPECT_EQ(decision.candidates_size(), 8);
  EXPECT_LT(decision.present().attainment(), decision.candidates(0).attainment());
}

TEST_F(PlanningTest, ADryRunDecidesAndChangesNothing) {
  Planning planning(Options(ReplanMode::kDryRun), &cluster_, Obey());
  Shift(planning);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(Count(planning, "would_switch"), 1);
  EXPECT_EQ(Count(planning, "switch"), 0);
  EXPECT_EQ(planning.Show(now_).placement().prefill(), 1);
}

TEST_F(PlanningTest, OffDecidesNothingButKnowsTheTraffic) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  Shift(planning);
  const v1::Plan plan = planning.Show(now_);
  EXPECT_EQ(plan.mode(), "off");
  EXPECT_EQ(plan.decisions_size(), 0);
  EXPECT_NEAR(plan.traffic().prompt_tokens(), 400, 1);
}

TEST_F(PlanningTest, WhatAWorkerRefusesIsTriedAgainAfterTheCooldown) {
  bool refuses = true;
  Planning planning(
      Options(ReplanMode::kOn), &cluster_,
      [&](const std::string& address, const RoleSwitch& change, std::stop_token stop) {
        if (!refuses) return Obey()(address, change, stop);
        return absl::FailedPreconditionError("epoch 2 has ended");
      });
  Run(planning, 50, 10, absl::Minutes(2));
  Run(planning, 400, 5, absl::Minutes(2));
  EXPECT_EQ(Count(planning, "failed"), 1);
  EXPECT_EQ(Count(planning, "switch"), 0);
  EXPECT_THAT(planning.Show(now_).decisions(0).reason(),
              AllOf(HasSubstr("cannot switch"), HasSubstr("epoch 2 has ended")));
  refuses = false;
  Run(planning, 400, 5, absl::Minutes(3));
  EXPECT_EQ(Count(planning, "failed"), 1);
  EXPECT_EQ(Count(planning, "switch"), 1);
}

TEST_F(PlanningTest, AStopEndsTheWaitForAWorkersNewRole) {
  Planning* ending = nullptr;
  Planning planning(Options(ReplanMode::kOn), &cluster_,
                    [&](const std::string&, const RoleSwitch&, std::stop_token stop) {
                      EXPECT_FALSE(stop.stop_requested());
                      ending->Stop();
                      EXPECT_TRUE(stop.stop_requested());
                      return absl::OkStatus();  // and it never tells of the role
                    });
  ending = &planning;
  Run(planning, 50, 10, absl::Minutes(2));
  Run(planning, 400, 5, absl::Minutes(2));
  EXPECT_EQ(Count(planning, "failed"), 1);
  EXPECT_THAT(planning.Show(now_).decisions(0).reason(), HasSubstr("the scheduler is ending"));
}

// Of one prefill and one decode worker each is needed, whatever there is to gain.
TEST_F(PlanningTest, NobodyIsSwitchedWhoIsTheLastOfItsRoleByThen) {
  Planning planning(Options(ReplanMode::kOn), &cluster_, Obey());
  Run(planning, 50, 10, absl::Minutes(2));
  ASSERT_TRUE(Heartbeat(Beat("e", 3)).ok());
  cluster_.Leave(stream_, "e", 3);
  Run(planning, 400, 5, absl::Minutes(3));
  for (const std::string& asked : asked_) EXPECT_THAT(asked, HasSubstr("mixed"));
  EXPECT_TRUE(cluster_.State().servable());
}

TEST_F(PlanningTest, AWorkerThatStartsAnewGetsItsRoleBack) {
  Planning planning(Options(ReplanMode::kOn), &cluster_, Obey());
  Shift(planning);
  const std::string id = Switched();
  const v1::Role role = RoleOf(id);
  Join(id, v1::ROLE_DECODE, 77);
  ASSERT_EQ(RoleOf(id), v1::ROLE_DECODE);
  planning.Look(now_);
  EXPECT_EQ(RoleOf(id), role);
  EXPECT_EQ(Count(planning, "restore"), 1);
  planning.Look(now_);
  EXPECT_EQ(Count(planning, "restore"), 1) << "it is what it should be";
}

TEST_F(PlanningTest, ARoleThatAnOperatorGivesIsKept) {
  Planning planning(Options(ReplanMode::kOn), &cluster_, Obey());
  Shift(planning);
  const std::string id = Switched();
  v1::HeartbeatRequest beat = Beat(id, id == "d" ? 2 : 3);
  beat.set_role(v1::ROLE_DECODE);
  ASSERT_TRUE(Heartbeat(beat).ok());
  planning.Look(now_);
  EXPECT_EQ(RoleOf(id), v1::ROLE_DECODE);
}

TEST_F(PlanningTest, ReplaysAreNotCountedAgainAndRefusalsAre) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  v1::RouteRequest route;
  route.set_num_prompt_tokens(10);
  v1::RouteResponse response;
  response.set_request_id(5);
  planning.Arrive(route, response, now_);
  route.set_replay_of(5);
  planning.Arrive(route, response, now_);
  route.set_replay_of(0);
  planning.Arrive(route, absl::ResourceExhaustedError("too late"), now_);
  EXPECT_EQ(planning.Show(now_ + absl::Seconds(1)).traffic().requests(), 2);
}

TEST_F(PlanningTest, AfterItsStopNothingIsSimulatedSoNothingIsDecided) {
  Planning planning(Options(ReplanMode::kOn), &cluster_, Obey());
  planning.Stop();
  Shift(planning);
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(planning.Show(now_).decisions_size(), 0);
  EXPECT_THAT(planning.Show(now_).status(), HasSubstr("stopped"));
}

class WhatIfTest : public PlanningTest {
 protected:
  WhatIfTest() { now_ = absl::Now() - absl::Minutes(1); }

  // Thirty seconds of traffic that has just been.
  void ServeHalfAMinute(Planning& planning) {
    for (; now_ < absl::Now() - absl::Seconds(30); now_ += absl::Milliseconds(250)) {
      Serve(planning, 300, 10);
    }
  }

  static absl::StatusOr<v1::WhatIfResponse> Ask(Planning& planning, v1::WhatIfRequest request) {
    absl::StatusOr<v1::WhatIfResponse> result;
    absl::Notification answered;
    planning.WhatIf(std::move(request), [&](absl::StatusOr<v1::WhatIfResponse> answer) {
      result = std::move(answer);
      answered.Notify();
    });
    answered.WaitForNotification();
    return result;
  }

  static v1::WhatIfRequest Question() {
    v1::WhatIfRequest request;
    request.set_minutes(5);
    request.set_rate_scale(1);
    return request;
  }
};

TEST_F(WhatIfTest, AnotherPlacementIsSimulatedBesideThePresentOneAndWhatWasMeasured) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  planning.Start();
  ServeHalfAMinute(planning);
  v1::WhatIfRequest request = Question();
  request.mutable_placement()->set_prefill(3);
  request.mutable_placement()->set_decode(2);
  const auto answer = Ask(planning, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NEAR(answer->traffic().requests(), 120, 2);
  EXPECT_EQ(answer->measured().attainment(), 1);
  EXPECT_EQ(answer->measured().ttft_ms().p50(), 100);
  EXPECT_EQ(answer->placement().decode(), 2);
  EXPECT_EQ(answer->other_placement().prefill(), 3);
  EXPECT_GT(answer->simulated().ttft_ms().p50(), 302) << "a prefill alone takes that";
  EXPECT_LT(answer->other_simulated().ttft_ms().p99(), answer->simulated().ttft_ms().p99());
}

TEST_F(WhatIfTest, AStopEndsASimulationThatWouldTakeLong) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  planning.Start();
  for (int i = 0; i < 2000; ++i, now_ += absl::Milliseconds(10)) Serve(planning, 300, 3000);
  absl::StatusOr<v1::WhatIfResponse> result;
  planning.WhatIf(Question(),
                  [&](absl::StatusOr<v1::WhatIfResponse> answer) { result = std::move(answer); });
  planning.Stop();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("the scheduler is ending"));
}

TEST_F(WhatIfTest, OtherTargetsAreAppliedToAll) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  planning.Start();
  ServeHalfAMinute(planning);
  v1::WhatIfRequest request = Question();
  request.set_ttft_target_ms(50);
  const auto answer = Ask(planning, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->measured().attainment(), 0);
  EXPECT_EQ(answer->simulated().attainment(), 0);
  EXPECT_EQ(answer->other_placement().prefill(), 1) << "the present one";
}

TEST_F(WhatIfTest, WhatCannotBeAnsweredSaysWhy) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  planning.Start();
  auto answer = Ask(planning, Question());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("no requests came"));

  ServeHalfAMinute(planning);
  v1::WhatIfRequest request = Question();
  request.mutable_placement()->set_decode(3);
  answer = Ask(planning, request);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("placement cannot serve"));
  request = Question();
  request.set_minutes(0);
  EXPECT_THAT(std::string(Ask(planning, request).status().message()), HasSubstr("minutes"));

  for (const auto& [id, epoch] : {std::pair("p", 1), std::pair("d", 2), std::pair("e", 3)}) {
    v1::HeartbeatRequest beat = Beat(id, epoch);
    beat.mutable_stats()->clear_latency();
    ASSERT_TRUE(Heartbeat(beat).ok());
  }
  answer = Ask(planning, Question());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("enough prefill steps"));
}

TEST_F(WhatIfTest, NoMoreThanAFewQuestionsWaitAndTheEndAnswersThem) {
  Planning planning(Options(ReplanMode::kOff), &cluster_, Obey());
  std::vector<absl::Status> answers;
  for (int i = 0; i < 9; ++i) {
    planning.WhatIf(Question(), [&](absl::StatusOr<v1::WhatIfResponse> answer) {
      answers.push_back(answer.status());
    });
  }
  ASSERT_THAT(answers, SizeIs(1)) << "nobody works on the others";
  EXPECT_EQ(answers[0].code(), absl::StatusCode::kResourceExhausted);
  planning.Stop();
  ASSERT_THAT(answers, SizeIs(9));
  EXPECT_EQ(answers[8].code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ask(planning, Question()).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem
