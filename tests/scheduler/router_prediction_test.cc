// What the Router predicts, and what it makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "scheduler/router.h"
#include "tests/scheduler/naive_router.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

const absl::Time kStart = absl::UnixEpoch();
constexpr double kBandwidth = 1e9;

// 2 ms for a prompt token, 10 ms for a step of decoding and a little for each row.
LatencyCoefficients Speed() {
  return {.prefill = {.base_ms = 5, .token_ms = 2, .square_ms = 0.0005},
          .decode = {.base_ms = 10, .context_ms = 0.001, .row_ms = 0.25}};
}

InstanceView MakeView(const std::string& id) {
  InstanceView view;
  view.id = InstanceId(id);
  view.role = id[0] == 'p'   ? InstanceRole::kPrefill
              : id[0] == 'd' ? InstanceRole::kDecode
                             : InstanceRole::kMixed;
  view.epoch = 7;
  view.model_hash = 0xabc;
  view.layout = {.num_layers = 30, .num_kv_heads = 3, .head_dim = 64, .block_size = 16};
  view.num_free_blocks = 1000;
  view.latency = {.knows_prefill = true, .knows_decode = true, .coefficients = Speed()};
  view.num_steps = 100;
  return view;
}

// Keys of the first blocks of conversation `chat`.
std::vector<uint64_t> Keys(uint64_t chat, int num_blocks) {
  std::vector<uint64_t> keys;
  for (int i = 1; i <= num_blocks; ++i) keys.push_back(chat * 1000 + i);
  return keys;
}

RouteRequest Prompt(int num_tokens, uint64_t chat = 0) {
  RouteRequest request{.num_prompt_tokens = num_tokens, .max_tokens = 64};
  request.prefixes = {{.block_size = 16, .keys = Keys(chat, num_tokens / 16)}};
  return request;
}

class RouterPredictionTest : public testing::Test {
 protected:
  void Add(InstanceView view) { router_.Update(view, kStart); }
  void AddAll(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) Add(MakeView(id));
  }
  void Hold(const std::string& id, uint64_t chat, int num_blocks) {
    router_.UpdatePrefixes(InstanceId(id), {.added = Keys(chat, num_blocks)});
  }
  std::string Route(const RouteRequest& request) {
    const auto decision = router_.Route(request, kStart);
    if (!decision.ok()) return std::string(decision.status().message());
    router_.Complete(decision->request);
    ttft_ = decision->ttft;
    tpot_ = decision->tpot;
    return absl::StrCat(decision->prefill ? decision->prefill->id.value() + ">" : "",
                        decision->decode.id.value());
  }

  Router router_{{.seed = 1, .kv_bytes_per_second = kBandwidth}};
  absl::Duration ttft_, tpot_;
};

TEST_F(RouterPredictionTest, PredictsFromWhatTheInstancesReport) {
  AddAll({"p0", "d0"});
  EXPECT_EQ(Route(Prompt(100)), "p0>d0");
  const LatencyModel model = *LatencyModel::Create(Speed());
  EXPECT_LT(absl::AbsDuration(ttft_ - model.PrefillTime(100, 0)), absl::Microseconds(1));
  EXPECT_LT(absl::AbsDuration(tpot_ - model.DecodeTime(1, 100)), absl::Microseconds(1));
}

TEST_F(RouterPredictionTest, PredictsNothingBeforeBothPhasesAreKnown) {
  InstanceView view = MakeView("p0");
  view.latency.knows_decode = false;
  Add(view);
  view = MakeView("d0");
  view.latency = {};
  Add(view);
  EXPECT_EQ(Route(Prompt(100)), "p0>d0");
  EXPECT_EQ(ttft_, absl::ZeroDuration());
  view.latency = {.knows_decode = true, .coefficients = Speed()};
  Add(view);
  EXPECT_EQ(Route(Prompt(100)), "p0>d0");
  EXPECT_GT(ttft_, absl::ZeroDuration()) << "one computes as fast as the other";
}

TEST_F(RouterPredictionTest, PrefillGoesWhereThePromptIsUnlessThatIsTooBusy) {
  AddAll({"p0", "p1", "d0"});
  Hold("p1", 1, 10);
  EXPECT_EQ(Route(Prompt(200, 1)), "p1>d0");
  EXPECT_EQ(Route(Prompt(200, 2)), "p0>d0");
  InstanceView busy = MakeView("p1");
  busy.num_queued_tokens = 150;
  busy.num_queued_prompts = 1;
  Add(busy);
  EXPECT_EQ(Route(Prompt(200, 1)), "p1>d0") << "160 of its 200 tokens are there";
  busy.num_queued_tokens = 170;
  Add(busy);
  EXPECT_EQ(Route(Prompt(200, 1)), "p0>d0");
}

TEST_F(RouterPredictionTest, DecodeGoesWhereThePromptIsWhereTheLinkIsSlow) {
  Router slow({.seed = 1, .kv_bytes_per_second = 1e6});
  for (const char* id : {"p0", "d0", "d1"}) slow.Update(MakeView(id), kStart);
  slow.UpdatePrefixes(InstanceId("d1"), {.added = Keys(1, 10)});
  // Little of the prompt is new to d1, but much of it to p0, so that d1 does not prefill itself.
  InstanceView busy = MakeView("d1");
  busy.num_requests = busy.num_decoding = 60;
  slow.Update(busy, kStart);
  const auto decision = slow.Route(Prompt(200, 1), kStart);
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->decode.id, InstanceId("d1"));
}

TEST_F(RouterPredictionTest, ADecodeInstanceThatHoldsThePromptPrefillsAShortRest) {
  AddAll({"p0", "d0", "d1"});
  Hold("d1", 1, 12);
  Hold("p0", 1, 6);
  EXPECT_EQ(Route(Prompt(200, 1)), "d1") << "8 new tokens there, 104 on p0";
  EXPECT_EQ(Route(Prompt(200, 2)), "p0>d0") << "nothing is cached";
  Hold("p0", 1, 12);
  InstanceView busy = MakeView("d1");
  busy.num_requests = busy.num_decoding = 8;
  Add(busy);
  EXPECT_EQ(Route(Prompt(200, 1)), "p0>d0") << "its eight sequences would wait, and p0 has it too";
}

TEST_F(RouterPredictionTest, AQueueAtPrefillMakesALongerRestLocal) {
  AddAll({"p0", "d0"});
  Hold("p0", 1, 10);
  Hold("d0", 1, 10);
  InstanceView busy = MakeView("d0");
  busy.num_requests = busy.num_decoding = 8;
  Add(busy);
  EXPECT_EQ(Route(Prompt(260, 1)), "p0>d0");
  busy = MakeView("p0");
  busy.num_queued_tokens = 400;
  busy.num_queued_prompts = 2;
  Add(busy);
  EXPECT_EQ(Route(Prompt(260, 1)), "d0");
}

TEST_F(RouterPredictionTest, ARestartedInstanceHoldsNothing) {
  AddAll({"p0", "p1", "d0"});
  Hold("p1", 1, 10);
  InstanceView restarted = MakeView("p1");
  restarted.epoch = 8;
  Add(restarted);
  EXPECT_EQ(Route(Prompt(200, 1)), "p0>d0");
  Hold("p1", 1, 10);
  router_.Remove(InstanceId("p1"));
  EXPECT_EQ(Route(Prompt(200, 1)), "p0>d0");
}

TEST_F(RouterPredictionTest, RefusesWhatWillBeLateIfThatIsAskedFor) {
  AddAll({"p0", "d0"});
  InstanceView busy = MakeView("p0");
  busy.num_queued_tokens = 1000;
  busy.num_queued_prompts = 4;
  Add(busy);
  RouteRequest request = Prompt(100);
  request.ttft_target = absl::Milliseconds(400);
  EXPECT_EQ(Route(request), "p0>d0") << "late is better than never";
  request.reject_late = true;
  const absl::Status status = router_.Route(request, kStart).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("wanted within 400 ms and predicted"));
  request.ttft_target = absl::Seconds(10);
  EXPECT_EQ(Route(request), "p0>d0");
  request.tpot_target = absl::Milliseconds(5);
  EXPECT_THAT(Route(request), HasSubstr("each further token is wanted within 5 ms"));
  request.attempt = 1;
  request.replay_of = RequestId(4);
  EXPECT_EQ(Route(request), "p0>d0") << "what has begun goes on";
}

TEST_F(RouterPredictionTest, ARequestThatHasEndedDoesNotCountAlthoughItWasReported) {
  AddAll({"p0", "d0"});
  const auto first = router_.Route(Prompt(100), kStart);
  ASSERT_TRUE(first.ok());
  const absl::Duration alone = first->tpot;
  InstanceView view = MakeView("d0");
  view.num_requests = view.num_decoding = 1;
  view.num_decoding_tokens = 100;
  router_.Update(view, kStart + absl::Milliseconds(100));
  Route(Prompt(100));
  EXPECT_GT(tpot_, alone);
  router_.Complete(first->request);
  Route(Prompt(100));
  EXPECT_EQ(tpot_, alone);
  router_.Update(view, kStart + absl::Milliseconds(110));  // sent before it had ended
  Route(Prompt(100));
  EXPECT_EQ(tpot_, alone);
  router_.Update(MakeView("d0"), kStart + absl::Milliseconds(200));
  Route(Prompt(100));
  EXPECT_EQ(tpot_, alone);
  router_.Update(view, kStart + absl::Milliseconds(300));  // another one
  Route(Prompt(100));
  EXPECT_GT(tpot_, alone);
}

TEST_F(RouterPredictionTest, RefusesNobodyForASpeedOfLongAgo) {
  AddAll({"p0", "d0"});
  RouteRequest request = Prompt(100);
  request.ttft_target = absl::Milliseconds(1);
  request.reject_late = true;
  const auto code_after = [&](absl::Duration time) {
    return router_.Route(request, kStart + time).status().code();
  };
  EXPECT_EQ(code_after(absl::Seconds(29)), absl::StatusCode::kResourceExhausted);
  router_.Update(MakeView("p0"), kStart + absl::Seconds(30));  // has made no step since
  EXPECT_EQ(code_after(absl::Seconds(30)), absl::StatusCode::kOk);
  InstanceView view = MakeView("p0");
  ++view.num_steps;
  router_.Update(view, kStart + absl::Seconds(31));
  EXPECT_EQ(code_after(absl::Seconds(31)), absl::StatusCode::kResourceExhausted);
}

TEST_F(RouterPredictionTest, ChoosesTheWayThatMeetsTheTargets) {
  AddAll({"p0", "d0"});
  Hold("d0", 1, 10);
  InstanceView busy = MakeView("p0");
  busy.num_queued_tokens = 30;
  busy.num_queued_prompts = 1;
  Add(busy);
  busy = MakeView("d0");
  busy.num_requests = busy.num_decoding = 40;
  Add(busy);
  RouteRequest request = Prompt(200, 1);
  EXPECT_EQ(Route(request), "p0>d0") << "forty sequences would wait";
  request.ttft_target = absl::Milliseconds(200);
  request.reject_late = true;
  EXPECT_EQ(Route(request), "d0") << "the only way to be in time";
}

// Random clusters, loads, prefixes and prompts.
TEST_F(RouterPredictionTest, ChoosesAsASearchOfAllPairsWould) {
  std::mt19937 random(17);
  const auto below = [&random](int bound) { return static_cast<int>(random() % bound); };
  int num_local = 0;
  for (int round = 0; round < 200; ++round) {
    Router router({.seed = 1, .kv_bytes_per_second = 5e7});
    NaiveRouter naive(Speed(), 5e7);
    const std::vector<std::string> ids = {"d0", "d1", "d2", "m0", "p0", "p1", "p2"};
    for (const std::string& id : ids) {
      if (id[0] == 'm' && round % 2 == 0) continue;
      InstanceView view = MakeView(id);
      if (id[0] != 'd') {
        view.num_queued_prompts = below(3);
        view.num_queued_tokens = view.num_queued_prompts * (1 + below(200));
      }
      if (id[0] != 'p') {
        view.num_decoding = below(12);
        view.num_requests = view.num_decoding + below(3);
        view.num_decoding_tokens = view.num_decoding * (20 + below(300));
      }
      view.num_free_blocks = below(4) == 0 ? below(30) : 500;
      view.chunk_tokens = below(2) == 0 ? 512 : 64;
      view.depth = 1 + below(2);
      view.draining = below(12) == 0;
      router.Update(view, kStart);
      naive.Update(view);
      std::set<uint64_t> held;
      for (uint64_t chat = 1; chat <= 3; ++chat) {
        for (uint64_t key : Keys(chat, below(20))) held.insert(key);
      }
      router.UpdatePrefixes(view.id, {.added = {held.begin(), held.end()}});
      naive.SetPrefixes(id, held);
    }
    for (int i = 0; i < 20; ++i) {
      RouteRequest request = Prompt(1 + below(320), 1 + below(4));
      request.max_tokens = 1 + below(100);
      const auto decision = router.Route(request, kStart);
      const std::string expected = naive.Route(request);
      if (!decision.ok()) {
        ASSERT_EQ(expected, "") << decision.status();
        continue;
      }
      const std::string name =
          absl::StrCat(decision->prefill ? decision->prefill->id.value() + ">" : "",
                       decision->decode.id.value());
      ASSERT_EQ(name, expected) << "round " << round << " request " << i;
      num_local += decision->prefill || name[0] == 'm' ? 0 : 1;
    }
  }
  EXPECT_GT(num_local, 100) << "hardly tested";
}

}  // namespace
}  // namespace tandem
