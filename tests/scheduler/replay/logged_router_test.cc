#include "scheduler/replay/logged_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "tests/scheduler/replay/recorded.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Time At(int64_t nanoseconds) { return absl::FromUnixNanos(nanoseconds); }

InstanceView MakeView(const std::string& id, InstanceRole role) {
  InstanceView view;
  view.id = InstanceId(id);
  view.role = role;
  view.epoch = 7;
  view.layout = {.num_layers = 2, .num_kv_heads = 2, .head_dim = 8};
  view.num_free_blocks = 100;
  return view;
}

TEST(LoggedRouterTest, FirstLineHasTheOptionsWithTheSeed) {
  const RecordedRouter router({.seed = 18446744073709551615u});
  EXPECT_THAT(router.lines,
              ElementsAre(HasSubstr(R"("kind":"router","options":{"seed":18446744073709551615,)")));
}

TEST(LoggedRouterTest, WritesOfAReportWhatHasChanged) {
  RecordedRouter router({.seed = 1});
  router.lines.clear();
  InstanceView view = MakeView("p0", InstanceRole::kPrefill);
  router.Update(view, At(1));
  view.num_queued_tokens = 30;
  router.Update(view, At(2));
  router.Update(view, At(3));
  router.Remove(InstanceId("p0"));
  EXPECT_THAT(
      router.lines,
      ElementsAre(R"({"call":"update","now":1,"id":"p0","view":{"role":"prefill","epoch":7,)"
                  R"("layout":{"num_layers":2,"num_kv_heads":2,"head_dim":8},)"
                  R"("num_free_blocks":100}})",
                  R"({"call":"update","now":2,"id":"p0","view":{"num_queued_tokens":30}})",
                  R"({"call":"update","now":3,"id":"p0","view":{}})",
                  R"({"call":"remove","id":"p0"})"));
}

TEST(LoggedRouterTest, WritesRoutesWithTheirDecisions) {
  RecordedRouter router({.seed = 1});
  router.lines.clear();
  EXPECT_FALSE(router.Route({.num_prompt_tokens = 10}, At(1)).ok());
  router.Update(MakeView("m0", InstanceRole::kMixed), At(2));
  router.UpdatePrefixes(InstanceId("m0"), {.restart = true, .added = {5, 6}, .removed = {}});
  const auto decision =
      router.Route({.num_prompt_tokens = 10, .prefixes = {{.block_size = 16, .keys = {5}}}}, At(3));
  ASSERT_TRUE(decision.ok());
  router.Complete(decision->request);
  router.Tick(At(4));
  router.Tick(At(5000000000));
  const std::string id = absl::StrCat(decision->request.value());
  EXPECT_THAT(
      router.lines,
      ElementsAre(
          R"({"call":"route","now":1,"request":{"num_prompt_tokens":10},"refused":["UNAVAILABLE","no prefill worker is registered"]})",
          HasSubstr(R"("call":"update")"),
          R"({"call":"update_prefixes","id":"m0","changes":{"restart":true,"added":[5,6]}})",
          absl::StrCat(R"({"call":"route","now":3,"request":{"num_prompt_tokens":10,"prefixes":)",
                       R"([{"block_size":16,"keys":[5]}]},"decision":{"request":)", id,
                       R"(,"decode":{"id":"m0","epoch":7}}})"),
          absl::StrCat(R"({"call":"complete","id":)", id, "}"),
          R"({"call":"tick","now":5000000000,"expired":["m0"]})"));
}

// A cluster that reports, is asked, grows and shrinks at random.
class RandomCluster {
 public:
  // Up to `max_gap` passes between two calls.
  RandomCluster(uint32_t seed, absl::Duration max_gap)
      : max_gap_(max_gap), random_(seed), router_({.seed = seed}) {}

  void Run(int num_operations) {
    for (int i = 0; i < num_operations; ++i) {
      now_ += max_gap_ * RandomShare();
      const int kind = Random(100);
      if (kind < 35) {
        Report();
      } else if (kind < 75) {
        Ask();
      } else if (kind < 90) {
        Complete();
      } else if (kind < 96) {
        TellPrefixes();
      } else {
        Leave();
      }
    }
  }

  const std::vector<std::string>& lines() const { return router_.lines; }

 private:
  int Random(int bound) { return static_cast<int>(random_() % bound); }
  double RandomShare() { return static_cast<double>(random_()) / 4294967296.0; }
  InstanceId RandomId() {
    static constexpr const char* kRoles[] = {"p", "d", "m"};
    const char* const role = kRoles[Random(3)];
    return InstanceId(absl::StrCat(role, Random(3)));
  }

  void Report() {
    const InstanceId id = RandomId();
    const char role = id.value()[0];
    InstanceView view = MakeView(id.value(), role == 'p'   ? InstanceRole::kPrefill
                                             : role == 'd' ? InstanceRole::kDecode
                                                           : InstanceRole::kMixed);
    view.epoch = 1 + (Random(40) == 0 ? 1 : 0);
    view.numerics = absl::StrCat("isa ", Random(20) == 0 ? 1 : 0);
    view.num_free_blocks = Random(400);
    view.num_queued_prompts = Random(8);
    view.num_queued_tokens = view.num_queued_prompts * Random(1000) + Random(7);
    view.num_requests = Random(20);
    view.num_decoding = Random(20);
    view.num_decoding_tokens = Random(9000);
    view.latency.knows_prefill = view.latency.knows_decode = Random(3) > 0;
    view.latency.coefficients.prefill = {RandomShare(), RandomShare(), RandomShare() / 1000};
    view.latency.coefficients.decode = {RandomShare(), RandomShare() / 100, RandomShare()};
    view.num_steps = ++num_steps_;
    view.healthy = Random(30) > 0;
    view.draining = Random(30) == 0;
    router_.Update(view, now_);
  }

  void Ask() {
    RouteRequest request{.num_prompt_tokens = 1 + Random(3000), .max_tokens = Random(300)};
    std::vector<uint64_t> keys;
    for (int i = 0; i < request.num_prompt_tokens / 16; ++i) keys.push_back(1000 * Random(2) + i);
    request.prefixes.push_back({.block_size = 16, .keys = std::move(keys)});
    request.ttft_target = absl::Milliseconds(200 * RandomShare());
    request.reject_late = Random(4) == 0;
    if (!requests_.empty() && Random(8) == 0) {
      request.replay_of = requests_[Random(static_cast<int>(requests_.size()))];
      request.attempt = 1;
      request.avoid = {{RandomId(), 1}};
      request.numerics = "isa 0";
    }
    const auto decision = router_.Route(request, now_);
    if (decision.ok()) requests_.push_back(decision->request);
  }

  void Complete() {
    if (requests_.empty()) return;
    const int index = Random(static_cast<int>(requests_.size()));
    router_.Complete(requests_[index]);
    requests_.erase(requests_.begin() + index);
  }

  void TellPrefixes() {
    PrefixChanges changes{.restart = Random(5) == 0};
    for (int i = Random(40); i > 0; --i) changes.added.push_back(1000 * Random(2) + Random(100));
    for (int i = Random(10); i > 0; --i) changes.removed.push_back(Random(100));
    router_.UpdatePrefixes(RandomId(), changes);
  }

  void Leave() {
    if (Random(3) > 0) {
      router_.Remove(RandomId());
    } else {
      now_ += absl::Seconds(1);
      router_.Tick(now_);
    }
  }

  const absl::Duration max_gap_;
  std::mt19937 random_;
  RecordedRouter router_;
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
  std::vector<RequestId> requests_;
  int64_t num_steps_ = 0;
};

TEST(LoggedRouterTest, RandomRunsAreReplayedToTheByte) {
  for (uint32_t seed = 0; seed < 15 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomCluster cluster(seed, absl::Milliseconds(6));
    cluster.Run(1000);
    ExpectEqualReplay(cluster.lines());
  }
}

// Many requests are counted for before a report can contain them: the order in which their work is
// added up shows in the last digit of a prediction.
TEST(LoggedRouterTest, RandomBurstsAreReplayedToTheByte) {
  for (uint32_t seed = 0; seed < 15 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomCluster cluster(seed, absl::Microseconds(50));
    cluster.Run(1000);
    ExpectEqualReplay(cluster.lines());
  }
}

}  // namespace
}  // namespace tandem
