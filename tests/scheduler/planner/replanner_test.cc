#include "scheduler/planner/replanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/scheduler/planner/recent_traffic.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MakeInstances;
using ::testing::SizeIs;
using testing::TrafficShape;
using testing::TrafficSource;

const ReplanOptions kOptions = {.window = absl::Minutes(1), .cooldown = absl::Minutes(2)};

// A cluster under traffic, looked at every five seconds; switches take place at once.
class Service {
 public:
  explicit Service(const std::string& roles, uint64_t seed = 1,
                   const ReplanOptions& options = kOptions)
      : options_(options), instances_(MakeInstances(roles)), source_(seed), replanner_(options) {}

  // The decisions meanwhile.
  std::vector<ReplanDecision> Run(const TrafficShape& shape, absl::Duration length) {
    std::vector<ReplanDecision> decisions;
    for (const absl::Time end = source_.now() + length; source_.now() < end;) {
      source_.Feed(shape, absl::Seconds(5), profile_);
      const absl::Time now = source_.now();
      auto decision = replanner_.Tick(profile_.Recent({.length = options_.window, .now = now}),
                                      instances_, now);
      if (!decision) continue;
      for (const RoleSwitch& change : decision->switches) {
        for (PlannedInstance& instance : instances_) {
          if (instance.view.id == change.id) instance.view.role = change.to;
        }
        EXPECT_TRUE(CanServe(PlacementOf(instances_)));
      }
      decisions.push_back(*std::move(decision));
    }
    return decisions;
  }

  const std::string& status() const { return replanner_.status(); }
  std::vector<PlannedInstance>& instances() { return instances_; }
  ClusterPlacement placement() const { return PlacementOf(instances_); }
  TrafficSource& source() { return source_; }

 private:
  const ReplanOptions options_;
  std::vector<PlannedInstance> instances_;
  TrafficSource source_;
  TrafficProfile profile_;
  Replanner replanner_;
};

TEST(ReplannerTest, AShiftByTwoIsDecidedUponExactlyOnceWhateverTheSeed) {
  const TrafficShape before{.rate = 3, .prompt_tokens = 100};
  const TrafficShape shapes[] = {{.rate = 6, .prompt_tokens = 100},
                                 {.rate = 1.5, .prompt_tokens = 100},
                                 {.rate = 3, .prompt_tokens = 200},
                                 {.rate = 3, .prompt_tokens = 100, .output_tokens = 40}};
  for (uint64_t seed = 0; seed < 6; ++seed) {
    for (const TrafficShape& after : shapes) {
      Service service("pdd", seed);
      EXPECT_THAT(service.Run(before, absl::Minutes(4)), IsEmpty()) << "seed " << seed;
      EXPECT_THAT(service.Run(after, absl::Minutes(10)), SizeIs(1))
          << "seed " << seed << ", rate " << after.rate << ", prompts " << after.prompt_tokens;
    }
  }
}

TEST(ReplannerTest, TenPercentOfNoiseAreNeverDecidedUpon) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Service service("pdd", seed);
    Random random(seed, 7);
    EXPECT_THAT(service.Run({.rate = 3}, absl::Minutes(2)), IsEmpty());
    for (int minute = 0; minute < 40; ++minute) {
      const auto noisy = [&](double value) { return value * (0.9 + 0.2 * random.Uniform()); };
      const TrafficShape shape{
          .rate = noisy(3), .prompt_tokens = noisy(200), .output_tokens = noisy(20)};
      ASSERT_THAT(service.Run(shape, absl::Minutes(1)), IsEmpty()) << "seed " << seed;
    }
  }
}

TEST(ReplannerTest, PromptsThatGrowMoveADecodeInstanceToPrefillAndSayWhy) {
  Service service("pdd");
  EXPECT_THAT(service.Run({.rate = 4, .prompt_tokens = 50}, absl::Minutes(2)), IsEmpty());
  const TrafficShape longer{.rate = 4,
                            .prompt_tokens = 400,
                            .output_tokens = 5,
                            .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(14)}};
  const auto decisions = service.Run(longer, absl::Minutes(5));
  ASSERT_THAT(decisions, SizeIs(1));
  const ReplanDecision& decision = decisions.front();
  EXPECT_EQ(service.placement(), (ClusterPlacement{.num_prefill = 2, .num_decode = 1}));
  ASSERT_THAT(decision.switches, SizeIs(1));
  EXPECT_EQ(decision.switches[0].to, InstanceRole::kPrefill);
  EXPECT_GT(decision.candidates.front().attainment, decision.present.attainment + 0.05);
  EXPECT_THAT(decision.ToString(),
              AllOf(HasSubstr("prompts 4"), HasSubstr("2 prefill + 1 decode gains"),
                    HasSubstr("decode -> prefill"), HasSubstr("1 prefill + 2 decode "),
                    HasSubstr("the demand needs ")));
}

TEST(ReplannerTest, WhereNothingIsGainedAllStaysAsItIs) {
  Service service("pdd");
  service.Run({.rate = 2, .prompt_tokens = 50}, absl::Minutes(2));
  const auto decisions = service.Run({.rate = 4, .prompt_tokens = 50}, absl::Minutes(5));
  ASSERT_THAT(decisions, SizeIs(1));
  EXPECT_THAT(decisions[0].switches, IsEmpty());
  EXPECT_THAT(decisions[0].reason, HasSubstr("no other gains 5 points"));
  EXPECT_LT(decisions[0].wanted.NumDevices(), 3) << "but it says that fewer are enough";
}

TEST(ReplannerTest, LoadThatAlternatesChangesNoMoreThanOncePerCooldown) {
  const TrafficShape prompts{.rate = 4,
                             .prompt_tokens = 400,
                             .output_tokens = 5,
                             .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(30)}};
  const TrafficShape answers{.rate = 4,
                             .prompt_tokens = 20,
                             .output_tokens = 150,
                             .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(30)}};
  for (const double period : {20.0, 45.0, 75.0, 130.0}) {
    Service service("pdd");
    std::vector<absl::Time> times;
    for (int i = 0; i < 20; ++i) {
      for (const ReplanDecision& decision :
           service.Run(i % 2 == 0 ? answers : prompts, absl::Seconds(period))) {
        times.push_back(decision.time);
      }
    }
    for (size_t i = 1; i < times.size(); ++i) {
      EXPECT_GE(times[i] - times[i - 1], kOptions.cooldown) << period;
    }
  }
}

TEST(ReplannerTest, AStartIsNoShift) {
  Service service("pdd");
  EXPECT_THAT(service.Run({.rate = 0.5}, absl::Seconds(30)), IsEmpty());
  EXPECT_THAT(service.status(), HasSubstr("waits for requests"));
  EXPECT_THAT(service.Run({.rate = 5}, absl::Minutes(5)), IsEmpty());
  EXPECT_THAT(service.status(), HasSubstr("watches"));
}

TEST(ReplannerTest, NothingIsDecidedBeforeStepTimesAreKnown) {
  Service service("pdd");
  service.Run({.rate = 3, .prompt_tokens = 50}, absl::Minutes(2));
  for (PlannedInstance& instance : service.instances()) instance.view.latency.knows_decode = false;
  EXPECT_THAT(service.Run({.rate = 3, .prompt_tokens = 200}, absl::Minutes(3)), IsEmpty());
  EXPECT_THAT(service.status(), AllOf(HasSubstr("prompts "), HasSubstr("enough decode steps")));
  for (PlannedInstance& instance : service.instances()) instance.view.latency.knows_decode = true;
  EXPECT_THAT(service.Run({.rate = 3, .prompt_tokens = 200}, absl::Minutes(3)), SizeIs(1))
      << "the shift is not forgotten";
}

TEST(ReplannerTest, WithoutTargetsThereIsNothingToPlanFor) {
  Service service("pdd");
  service.Run({.rate = 3, .prompt_tokens = 50, .targets = {}}, absl::Minutes(2));
  EXPECT_THAT(service.Run({.rate = 3, .prompt_tokens = 200, .targets = {}}, absl::Minutes(3)),
              IsEmpty());
  EXPECT_THAT(service.status(), HasSubstr("no request has targets"));
}

TEST(ReplannerTest, MissedTargetsAreDecidedUponOnceUntilTheyAreMetAgain) {
  Service service("pdd");
  const TrafficShape good{.rate = 3};
  const TrafficShape late{.rate = 3, .ttft = absl::Seconds(3)};
  EXPECT_THAT(service.Run(good, absl::Minutes(3)), IsEmpty());
  const auto decisions = service.Run(late, absl::Minutes(10));
  ASSERT_THAT(decisions, SizeIs(1));
  EXPECT_THAT(decisions[0].trigger, HasSubstr("of requests are within their targets"));
  EXPECT_THAT(service.Run(good, absl::Minutes(5)), IsEmpty());
  EXPECT_THAT(service.Run(late, absl::Minutes(10)), SizeIs(1));
}

// After a switch prompts meet other caches: that is no shift of the traffic.
TEST(ReplannerTest, HitsThatFallAfterASwitchAreLearntAnew) {
  Service service("pdd");
  service.Run({.rate = 4, .prompt_tokens = 50, .cached_share = 0.6}, absl::Minutes(2));
  TrafficShape longer{.rate = 4,
                      .prompt_tokens = 400,
                      .output_tokens = 5,
                      .cached_share = 0.6,
                      .targets = {.ttft = absl::Seconds(2), .tpot = absl::Milliseconds(14)}};
  std::vector<ReplanDecision> decisions;
  while (decisions.empty()) decisions = service.Run(longer, absl::Seconds(5));
  ASSERT_FALSE(decisions[0].switches.empty());
  longer.cached_share = 0;
  EXPECT_THAT(service.Run(longer, absl::Minutes(10)), IsEmpty());
}

TEST(ReplannerTest, AClusterThatCannotServeIsLeftAlone) {
  Service service("pdd");
  service.Run({.rate = 3, .prompt_tokens = 50}, absl::Minutes(2));
  service.instances() = MakeInstances("dd");
  EXPECT_THAT(service.Run({.rate = 3, .prompt_tokens = 200}, absl::Minutes(3)), IsEmpty());
  EXPECT_THAT(service.status(), HasSubstr("cannot serve"));
}

}  // namespace
}  // namespace tandem
