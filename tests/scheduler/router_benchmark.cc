// How long one decision takes, by number of instances: half of them prefill, half decode, each with
// some work and a thousand blocks of chats; prompts of 2,000 tokens, every second one a chat's next
// turn. A decision is a Route and, once a hundred others are under way, a Complete.
//
//   ninja -C build router_benchmark && build/router_benchmark
#include <benchmark/benchmark.h>

#include <deque>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/router.h"

namespace tandem {
namespace {

constexpr int kNumBlocks = 125;  // of a prompt
constexpr int kChatsPerInstance = 8;
constexpr uint64_t kSystemPrompt = 1;  // ten blocks that all prompts begin with

std::vector<uint64_t> Keys(uint64_t chat, int num_blocks) {
  std::vector<uint64_t> keys;
  for (int i = 0; i < num_blocks; ++i) {
    keys.push_back(((i < 10 ? kSystemPrompt : chat) * 1000 + i) * 0x9E3779B97F4A7C15u);
  }
  return keys;
}

InstanceView MakeView(int i, std::mt19937* random) {
  InstanceView view;
  view.id = InstanceId(absl::StrCat("instance-", i));
  view.role = i % 2 == 0 ? InstanceRole::kPrefill : InstanceRole::kDecode;
  view.epoch = 1;
  view.numerics = "amx, tp 1, kv F16";
  view.layout = {.num_layers = 30, .num_kv_heads = 3, .head_dim = 64, .block_size = 16};
  view.num_free_blocks = 1000 + static_cast<int>((*random)() % 1000);
  view.num_queued_prompts = i % 2 == 0 ? static_cast<int>((*random)() % 8) : 0;
  view.num_queued_tokens = view.num_queued_prompts * 700;
  view.num_requests = i % 2 == 0 ? 0 : static_cast<int>((*random)() % 40);
  view.num_decoding = view.num_requests;
  view.num_decoding_tokens = view.num_decoding * 900;
  view.latency = {.knows_prefill = true,
                  .knows_decode = true,
                  .coefficients = {.prefill = {.base_ms = 5, .token_ms = 0.2, .square_ms = 1e-5},
                                   .decode = {.base_ms = 8, .context_ms = 1e-4, .row_ms = 0.1}}};
  return view;
}

void Decide(benchmark::State& state) {
  const int num_instances = static_cast<int>(state.range(0));
  std::mt19937 random(5);
  Router router({.seed = 1, .max_prefix_entries = int64_t{64} << 20});
  const absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < num_instances; ++i) {
    router.Update(MakeView(i, &random), now);
    for (uint64_t chat = 0; chat < kChatsPerInstance; ++chat) {
      const uint64_t name = 2 + i * kChatsPerInstance + chat;
      router.UpdatePrefixes(InstanceId(absl::StrCat("instance-", i)),
                            {.added = Keys(name, kNumBlocks - 5)});
    }
  }
  std::vector<RouteRequest> requests;
  for (int i = 0; i < 1024; ++i) {
    const uint64_t known = 2 + random() % (uint64_t{kChatsPerInstance} * num_instances);
    const uint64_t chat = i % 2 == 0 ? known : (uint64_t{1} << 40) + i;
    requests.push_back({.num_prompt_tokens = kNumBlocks * 16, .max_tokens = 200});
    requests.back().prefixes = {{.block_size = 16, .keys = Keys(chat, kNumBlocks)}};
  }
  std::deque<RequestId> under_way;
  size_t next = 0;
  for (auto _ : state) {
    const auto decision = router.Route(requests[next++ % requests.size()], now);
    under_way.push_back(decision->request);
    if (under_way.size() <= 100) continue;
    router.Complete(under_way.front());
    under_way.pop_front();
  }
}
BENCHMARK(Decide)->Arg(10)->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

// A heartbeat, with what comes and goes of prefixes.
void TakeReport(benchmark::State& state) {
  const int num_instances = static_cast<int>(state.range(0));
  std::mt19937 random(5);
  Router router({.seed = 1});
  const absl::Time now = absl::UnixEpoch();
  std::vector<InstanceView> views;
  for (int i = 0; i < num_instances; ++i) views.push_back(MakeView(i, &random));
  size_t next = 0;
  for (auto _ : state) {
    InstanceView& view = views[next++ % views.size()];
    view.num_queued_tokens = static_cast<int64_t>(random() % 5000);
    router.Update(view, now);
    const uint64_t key = random();
    router.UpdatePrefixes(view.id, {.added = {key, key + 1}});
    router.UpdatePrefixes(view.id, {.removed = {key, key + 1}});
  }
}
BENCHMARK(TakeReport)->Arg(10)->Arg(1000)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
