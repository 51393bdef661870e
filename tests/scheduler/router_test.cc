#include "scheduler/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace tandem {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::UnixEpoch();

InstanceView MakeView(const std::string& id, InstanceRole role) {
  InstanceView view;
  view.id = InstanceId(id);
  view.role = role;
  view.epoch = 7;
  view.address = id + ":50051";
  view.model_hash = 0xabc;
  view.layout = {.num_layers = 2, .num_kv_heads = 2, .head_dim = 8, .block_size = 16};
  view.num_free_blocks = 100;
  return view;
}

// Registers the instances named "p0", "d1", "m2"...: the letter is the role.
Router MakeRouter(const std::vector<std::string>& ids) {
  Router router({.seed = 1});
  for (const std::string& id : ids) {
    const InstanceRole role = id[0] == 'p'   ? InstanceRole::kPrefill
                              : id[0] == 'd' ? InstanceRole::kDecode
                                             : InstanceRole::kMixed;
    router.Update(MakeView(id, role), kStart);
  }
  return router;
}

// "p0>d1", or "m2" where nothing is handed off; the error's message where there is no route.
std::string RouteName(Router& router, int num_prompt_tokens = 10, absl::Time now = kStart) {
  const auto decision = router.Route({.num_prompt_tokens = num_prompt_tokens}, now);
  if (!decision.ok()) return std::string(decision.status().message());
  std::string name = decision->prefill.has_value() ? decision->prefill->id.value() + ">" : "";
  return name + decision->decode.id.value();
}

TEST(RouterTest, NamesAddressesAndEpochsOfBothWorkers) {
  Router router = MakeRouter({"p0", "d0"});
  const auto decision = router.Route({.num_prompt_tokens = 10}, kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  ASSERT_TRUE(decision->prefill.has_value());
  EXPECT_EQ(decision->prefill->address, "p0:50051");
  EXPECT_EQ(decision->prefill->epoch, 7u);
  EXPECT_EQ(decision->decode.address, "d0:50051");
  EXPECT_EQ(decision->attempt, 0u);
}

TEST(RouterTest, PrefillGoesToTheFewestQueuedTokens) {
  Router router = MakeRouter({"p0", "p1", "d0"});
  InstanceView busy = MakeView("p0", InstanceRole::kPrefill);
  busy.num_queued_tokens = 500;
  router.Update(busy, kStart);
  EXPECT_EQ(RouteName(router, 400), "p1>d0");
  EXPECT_EQ(RouteName(router, 400), "p1>d0");
  EXPECT_EQ(RouteName(router, 400), "p0>d0") << "800 tokens were dispatched to p1 meanwhile";
}

TEST(RouterTest, DecodeGoesToTheFewestRequestsThenTheMostFreeBlocks) {
  Router router = MakeRouter({"p0", "d0", "d1", "d2"});
  InstanceView view = MakeView("d0", InstanceRole::kDecode);
  view.num_requests = 3;
  router.Update(view, kStart);
  view = MakeView("d2", InstanceRole::kDecode);
  view.num_free_blocks = 200;
  router.Update(view, kStart);
  EXPECT_EQ(RouteName(router), "p0>d2");
  EXPECT_EQ(RouteName(router), "p0>d1");
  EXPECT_EQ(RouteName(router), "p0>d2");
}

TEST(RouterTest, DecodePrefersAnInstanceWithRoomForThePrompt) {
  Router router = MakeRouter({"p0", "d0", "d1"});
  InstanceView full = MakeView("d0", InstanceRole::kDecode);
  full.num_free_blocks = 6;
  router.Update(full, kStart);
  InstanceView roomy = MakeView("d1", InstanceRole::kDecode);
  roomy.num_requests = 9;
  router.Update(roomy, kStart);
  EXPECT_EQ(RouteName(router, 96), "p0>d1") << "96 tokens and one block need 7";
  EXPECT_EQ(RouteName(router, 32), "p0>d0");
  EXPECT_EQ(RouteName(router, 64), "p0>d1") << "3 of the 6 are spoken for";
}

TEST(RouterTest, SpreadsABurstBeforeAnyReport) {
  Router router = MakeRouter({"p0", "p1", "d0", "d1"});
  EXPECT_EQ(RouteName(router), "p0>d0");
  EXPECT_EQ(RouteName(router), "p1>d1");
  EXPECT_EQ(RouteName(router), "p0>d0");
}

TEST(RouterTest, CompleteTakesBackWhatARequestCountsFor) {
  Router router = MakeRouter({"p0", "p1", "d0", "d1"});
  const auto decision = router.Route({.num_prompt_tokens = 10}, kStart);
  ASSERT_TRUE(decision.ok());
  router.Complete(decision->request);
  router.Complete(decision->request);
  EXPECT_EQ(RouteName(router), "p0>d0");
}

TEST(RouterTest, AReportReplacesDispatchesThatAreOldEnoughToBeInIt) {
  Router router = MakeRouter({"p0", "p1", "d0"});
  EXPECT_EQ(RouteName(router, 100, kStart), "p0>d0");
  EXPECT_EQ(RouteName(router, 50, kStart), "p1>d0");
  const absl::Time soon = kStart + absl::Milliseconds(5);
  router.Update(MakeView("p0", InstanceRole::kPrefill), soon);  // says 0, too early to know
  EXPECT_EQ(RouteName(router, 60, soon), "p1>d0");
  const absl::Time later = kStart + absl::Milliseconds(20);
  router.Update(MakeView("p0", InstanceRole::kPrefill), later);  // has computed it
  EXPECT_EQ(RouteName(router, 60, later), "p0>d0");
}

TEST(RouterTest, ARestartForgetsWhatTheOldEpochHad) {
  Router router = MakeRouter({"p0", "p1", "d0"});
  EXPECT_EQ(RouteName(router, 100), "p0>d0");
  InstanceView restarted = MakeView("p0", InstanceRole::kPrefill);
  restarted.epoch = 8;
  router.Update(restarted, kStart);
  EXPECT_EQ(RouteName(router, 100), "p0>d0");
}

TEST(RouterTest, MixedInstancesServeBothPhasesThemselves) {
  Router router = MakeRouter({"m0", "m1"});
  EXPECT_EQ(RouteName(router), "m0");
  EXPECT_EQ(RouteName(router), "m1");
}

TEST(RouterTest, MixedInstancesStandInForAMissingRole) {
  Router with_prefill = MakeRouter({"m0", "p0"});
  InstanceView busy = MakeView("m0", InstanceRole::kMixed);
  busy.num_queued_tokens = 100;
  with_prefill.Update(busy, kStart);
  EXPECT_EQ(RouteName(with_prefill), "p0>m0");
  Router with_decode = MakeRouter({"m0", "d0"});
  EXPECT_EQ(RouteName(with_decode), "m0") << "no transfer when loads are equal";
  EXPECT_EQ(RouteName(with_decode), "m0>d0");
}

TEST(RouterTest, NeverPairsInstancesWhoseKvDoesNotFit) {
  Router router = MakeRouter({"p0", "d0", "d1"});
  InstanceView other = MakeView("d0", InstanceRole::kDecode);
  other.layout.dtype = DType::kF32;
  router.Update(other, kStart);
  EXPECT_EQ(RouteName(router), "p0>d1");
  EXPECT_EQ(RouteName(router), "p0>d1");
  router.Remove(InstanceId("d1"));
  EXPECT_EQ(RouteName(router),
            "no prefill worker fits a decode worker: p0 to d0: KV layouts differ in dtype: F16 "
            "sent, F32 expected");
}

TEST(RouterTest, NeverPairsInstancesOfDifferentModels) {
  Router router = MakeRouter({"p0", "d0"});
  InstanceView other = MakeView("d0", InstanceRole::kDecode);
  other.model_hash = 0xdef;
  router.Update(other, kStart);
  EXPECT_EQ(RouteName(router),
            "no prefill worker fits a decode worker: model hashes differ: abc of p0, def of d0");
}

TEST(RouterTest, TakesTheNextPrefillWorkerWhenTheLeastLoadedFitsNobody) {
  Router router = MakeRouter({"p0", "p1", "d0"});
  InstanceView alien = MakeView("p0", InstanceRole::kPrefill);
  alien.model_hash = 0xdef;
  router.Update(alien, kStart);
  EXPECT_EQ(RouteName(router), "p1>d0");
}

TEST(RouterTest, SaysWhatIsMissing) {
  EXPECT_EQ(MakeRouter({"d0"}).CheckServable().message(), "no prefill worker is registered");
  EXPECT_EQ(MakeRouter({"p0"}).CheckServable().message(), "no decode worker is registered");
  Router router = MakeRouter({"p0", "p1", "d0"});
  EXPECT_TRUE(router.CheckServable().ok());
  InstanceView view = MakeView("p0", InstanceRole::kPrefill);
  view.draining = true;
  router.Update(view, kStart);
  view = MakeView("p1", InstanceRole::kPrefill);
  view.healthy = false;
  router.Update(view, kStart);
  const absl::Status status = router.CheckServable();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "no prefill worker is ready: p0 is draining, p1 is not healthy");
}

TEST(RouterTest, TakesOutInstancesWhoseHeartbeatsStop) {
  Router router = MakeRouter({"p0", "d0"});
  const absl::Time later = kStart + absl::Seconds(2);
  router.Update(MakeView("d0", InstanceRole::kDecode), later);
  EXPECT_THAT(router.Tick(later), ElementsAre());
  EXPECT_THAT(router.Tick(kStart + absl::Seconds(3)), ElementsAre(InstanceId("p0")));
  EXPECT_EQ(router.Instances().size(), 1u);
  EXPECT_EQ(router.CheckServable().message(), "no prefill worker is registered");
}

TEST(RouterTest, AReplayKeepsItsIdAndCountsOnce) {
  Router router = MakeRouter({"p0", "p1", "d0"});
  const auto first = router.Route({.num_prompt_tokens = 100}, kStart);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->prefill->id.value(), "p0");
  const auto second =
      router.Route({.num_prompt_tokens = 100, .replay_of = first->request, .attempt = 1}, kStart);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->request, first->request);
  EXPECT_EQ(second->attempt, 1u);
  router.Complete(first->request);
  EXPECT_EQ(RouteName(router), "p0>d0");
}

TEST(RouterTest, AvoidsInstancesInTheEpochInWhichTheyFailedTheRequest) {
  Router router = MakeRouter({"p0", "p1", "d0", "d1"});
  RouteRequest request{.num_prompt_tokens = 10};
  request.avoid = {{InstanceId("p0"), 7}, {InstanceId("d0"), 6}, {InstanceId("d1"), 7}};
  const auto decision = router.Route(request, kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->prefill->id, InstanceId("p1"));
  EXPECT_EQ(decision->decode.id, InstanceId("d0")) << "it has been started again since";
  EXPECT_EQ(decision->fallback, "");
  request.avoid.emplace_back(InstanceId("d0"), 7);
  EXPECT_EQ(router.Route(request, kStart).status().message(),
            "no decode worker is ready: d0 has failed this request, d1 has failed this request");
}

TEST(RouterTest, DecodeInstancesPrefillForThemselvesWhileNobodyElseCan) {
  Router router = MakeRouter({"p0", "d0", "d1"});
  RouteRequest request{.num_prompt_tokens = 10, .avoid = {{InstanceId("p0"), 7}}};
  auto decision = router.Route(request, kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_FALSE(decision->prefill.has_value());
  EXPECT_EQ(decision->decode.id, InstanceId("d0"));
  EXPECT_EQ(decision->fallback, "no_prefill_worker");
  router.Remove(InstanceId("p0"));
  EXPECT_EQ(RouteName(router), "d1") << "d0's prompt counts";
  EXPECT_EQ(router.CheckServable().message(), "no prefill worker is registered");
}

TEST(RouterTest, AFurtherAttemptPrefersTheNumericsOfTheFirst) {
  Router router({.seed = 1});
  for (const char* id : {"p0", "p1", "d0", "d1"}) {
    InstanceView view = MakeView(id, id[0] == 'p' ? InstanceRole::kPrefill : InstanceRole::kDecode);
    view.numerics = id[1] == '0' ? "avx2" : "amx";
    if (id[1] == '1') view.num_requests = 5, view.num_queued_tokens = 500, view.num_free_blocks = 0;
    router.Update(view, kStart);
  }
  EXPECT_EQ(RouteName(router), "p0>d0") << "the others are busy";
  RouteRequest request{.num_prompt_tokens = 10, .attempt = 1, .numerics = "amx"};
  auto decision = router.Route(request, kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->prefill->id, InstanceId("p1"));
  EXPECT_EQ(decision->decode.id, InstanceId("d1"));
  EXPECT_EQ(decision->numerics, "amx");
  EXPECT_FALSE(decision->inexact);

  router.Remove(InstanceId("d1"));
  decision = router.Route(request, kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->decode.id, InstanceId("d0"));
  EXPECT_TRUE(decision->inexact) << "no decode instance computes alike";
  EXPECT_EQ(decision->numerics, "amx; avx2");
}

TEST(RouterTest, OfEquallyBusyDecodeInstancesOneOfPrefillsNumericsIsTaken) {
  Router router = MakeRouter({"p0", "d0", "d1"});
  for (const char* id : {"p0", "d1"}) {
    InstanceView view = MakeView(id, id[0] == 'p' ? InstanceRole::kPrefill : InstanceRole::kDecode);
    view.numerics = "amx";
    router.Update(view, kStart);
  }
  EXPECT_EQ(RouteName(router), "p0>d1");
  EXPECT_EQ(RouteName(router), "p0>d0") << "load counts for more";
}

TEST(RouterTest, IdsAreDistinctAndFollowTheSeed) {
  Router router = MakeRouter({"m0"}), same = MakeRouter({"m0"});
  std::set<uint64_t> ids;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t id = router.Route({.num_prompt_tokens = 1}, kStart)->request.value();
    EXPECT_EQ(id, same.Route({.num_prompt_tokens = 1}, kStart)->request.value());
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000u);
}

}  // namespace
}  // namespace tandem
