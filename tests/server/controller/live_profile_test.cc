#include "server/controller/live_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/controller/registration.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// Steps of each kind, and how long they take.
struct Learnt {
  int prefill = 0, decode = 0, mixed = 0;
  double token_ms = 1, row_ms = 1;
  double error = 0.1;
};

class LiveProfileTest : public testing::Test {
 protected:
  // Knows of each phase what it has made 16 steps of, as workers do.
  void Add(const std::string& id, v1::Role role, const Learnt& learnt, int tp = 1) {
    v1::InstanceState& instance = *cluster_.add_instances();
    *instance.mutable_registration() = Registration(id, role, 1);
    instance.mutable_registration()->mutable_model()->set_name("tiny");
    v1::InstanceShape& shape = *instance.mutable_registration()->mutable_shape();
    shape.set_tp(tp);
    shape.set_pp(1);
    shape.set_threads(2);
    shape.set_device("a device");
    shape.set_weight_bytes(1000);
    v1::InstanceBudgets& budgets = *instance.mutable_registration()->mutable_budgets();
    budgets.set_max_num_batched_tokens(256);
    budgets.set_prefill_batch_tokens(64);
    v1::StepLatency& latency = *instance.mutable_stats()->mutable_latency();
    if (learnt.prefill + learnt.mixed >= 16) {
      for (double value : {5.0, learnt.token_ms, 0.0}) latency.add_prefill(value);
    }
    if (learnt.decode + learnt.mixed >= 16) {
      for (double value : {6.0, 0.01, learnt.row_ms}) latency.add_decode(value);
      for (double value : {7.0, 0.02, 2 * learnt.row_ms}) latency.add_large_decode(value);
      latency.set_large_decode_rows(5);
    }
    latency.set_prefill_steps(learnt.prefill);
    latency.set_decode_steps(learnt.decode);
    latency.set_mixed_steps(learnt.mixed);
    latency.set_mean_error(learnt.error);
  }

  std::string ErrorOf() const {
    const absl::Status status = LiveProfile(cluster_, nullptr).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  }

  v1::ClusterState cluster_;
};

TEST_F(LiveProfileTest, JoinsWhatPrefillAndDecodeWorkersOfAKindHaveLearnt) {
  Add("p", v1::ROLE_PREFILL, {.prefill = 30, .token_ms = 1.5, .error = 0.2});
  Add("d", v1::ROLE_DECODE, {.decode = 70, .row_ms = 0.5, .error = 0.1});
  const auto profile = LiveProfile(cluster_, nullptr);
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_THAT(profile->instances, SizeIs(1));
  const InstanceProfile& instance = profile->instances[0];
  EXPECT_EQ(instance.model, "tiny");
  EXPECT_EQ(instance.device, "a device");
  EXPECT_EQ(instance.threads, 2);
  EXPECT_EQ(instance.weight_bytes, 1000);
  EXPECT_EQ(instance.num_kv_tokens, 100 * 16);
  EXPECT_EQ(instance.kv_bytes_per_token, 2 * 2 * 2 * 8 * 2) << "layers, K and V, heads, F16";
  EXPECT_EQ(instance.max_num_batched_tokens, 256);
  EXPECT_EQ(instance.prefill_batch_tokens, 64);
  EXPECT_EQ(instance.latency.prefill.token_ms, 1.5);
  EXPECT_EQ(instance.latency.decode.row_ms, 0.5);
  EXPECT_EQ(instance.latency.large_decode.row_ms, 1);
  EXPECT_EQ(instance.latency.large_decode_rows, 5);
  EXPECT_EQ(instance.steps, (StepCounts{.prefill = 30, .decode = 70}));
  EXPECT_NEAR(instance.mean_error, 0.13, 1e-9) << "by steps";
  EXPECT_EQ(instance.scatter, (StepScatter{.prefill = 0.2, .decode = 0.1}));
  EXPECT_EQ(profile->path, std::nullopt);
}

TEST_F(LiveProfileTest, BelievesTheWorkerThatHasMadeMostSteps) {
  Add("a", v1::ROLE_MIXED, {.prefill = 16, .decode = 900, .token_ms = 1, .row_ms = 1});
  Add("b", v1::ROLE_MIXED, {.prefill = 10, .decode = 600, .mixed = 50, .token_ms = 2, .row_ms = 2});
  const auto profile = LiveProfile(cluster_, nullptr);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->instances[0].latency.prefill.token_ms, 2);
  EXPECT_EQ(profile->instances[0].latency.decode.row_ms, 1);
  EXPECT_EQ(profile->instances[0].steps, (StepCounts{.prefill = 26, .decode = 1500, .mixed = 50}));
}

TEST_F(LiveProfileTest, KindsOfWorkersAreInstancesOfTheirOwn) {
  Add("p", v1::ROLE_PREFILL, {.prefill = 30, .token_ms = 0.5}, /*tp=*/2);
  Add("d", v1::ROLE_DECODE, {.decode = 70});
  const auto profile = LiveProfile(cluster_, nullptr);
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_THAT(profile->instances, SizeIs(2));
  EXPECT_EQ(profile->instances[0].tp, 1);
  EXPECT_EQ(profile->instances[0].latency.prefill.token_ms, 0) << "it only decodes";
  EXPECT_EQ(profile->instances[1].tp, 2);
  EXPECT_EQ(profile->instances[1].latency.prefill.token_ms, 0.5);
}

TEST_F(LiveProfileTest, SaysWhichStepsAreTooFew) {
  EXPECT_THAT(ErrorOf(), HasSubstr("no workers"));
  Add("m", v1::ROLE_MIXED, {.prefill = 3, .decode = 70, .mixed = 4});
  EXPECT_THAT(ErrorOf(), HasSubstr("TP 1, PP 1, 2 threads"));
  EXPECT_THAT(ErrorOf(), HasSubstr("7 of 16 steps with prompts, 74 of 16 steps of decoding"));
}

TEST_F(LiveProfileTest, TakesOverThePathThatTheGatewayHasMeasured) {
  Add("m", v1::ROLE_MIXED, {.prefill = 30, .decode = 70});
  v1::RequestPath path;
  EXPECT_EQ(LiveProfile(cluster_, &path)->path, std::nullopt) << "of no requests";
  path.set_requests(9);
  path.set_ingress_ms(0.5);
  path.set_network_ms(1.5);
  EXPECT_EQ(LiveProfile(cluster_, &path)->path->network, absl::Milliseconds(1.5));
  EXPECT_EQ(LiveProfile(cluster_, &path)->path->kv_exposed, std::nullopt);
  path.set_handoffs(4);
  path.set_kv_exposed_ms(0.75);
  EXPECT_EQ(LiveProfile(cluster_, &path)->path->kv_exposed, absl::Milliseconds(0.75));
}

}  // namespace
}  // namespace tandem
