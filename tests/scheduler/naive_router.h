// The Router's choice, the slow way: every pair of instances is looked at, and what each holds of
// the prompt is counted key by key. The formulas are written down again here.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "scheduler/instance_view.h"
#include "scheduler/latency_model.h"
#include "scheduler/route.h"

namespace tandem {

class NaiveRouter {
 public:
  // All instances take as long for a step as this says.
  NaiveRouter(const LatencyCoefficients& speed, double kv_bytes_per_second)
      : speed_(speed), kv_bytes_per_second_(kv_bytes_per_second) {}

  void Update(const InstanceView& view) {
    Instance& instance = instances_[view.id.value()];
    instance.view = view;
    instance.dispatched.clear();
  }
  void SetPrefixes(const std::string& id, std::set<uint64_t> keys) {
    instances_[id].keys = std::move(keys);
  }

  // "p0>d1", "d1" (prefilled where it is decoded), or empty. Counts from now on.
  std::string Route(const RouteRequest& request) {
    std::optional<Option> best;
    for (auto& [id, prefill] : instances_) {
      if (prefill.view.role == InstanceRole::kDecode || !Usable(prefill)) continue;
      std::optional<Option> option;
      for (auto& [other, decode] : instances_) {
        if (!MayPair(prefill, decode)) continue;
        const Option pair = Pair(prefill, decode, request);
        if (!option || pair.decode_rank < option->decode_rank) option = pair;
      }
      if (option && (!best || option->prefill_rank < best->prefill_rank)) best = option;
    }
    if (!best) return "";
    std::optional<Option> local;
    for (auto& [id, decode] : instances_) {
      if (decode.view.role != InstanceRole::kDecode || !Usable(decode)) continue;
      if (Cached(decode, request, /*for_prefill=*/true) == 0 || !HasRoom(decode, request)) continue;
      const Option option = Pair(decode, decode, request);
      if (!local || std::pair(option.cost_ms, id) <
                        std::pair(local->cost_ms, local->decode->view.id.value())) {
        local = option;
      }
    }
    if (local && local->cost_ms < best->cost_ms) best = local;
    Count(*best, request);
    const std::string decode_id = best->decode->view.id.value();
    return best->prefill == best->decode ? decode_id
                                         : best->prefill->view.id.value() + ">" + decode_id;
  }

 private:
  struct Work {
    int num_tokens = 0, num_cached = 0, num_blocks = 0, num_rows = 0, num_context = 0;
  };
  struct Instance {
    InstanceView view;
    std::set<uint64_t> keys;
    std::vector<Work> dispatched;
  };
  struct Option {
    Instance* prefill = nullptr;
    Instance* decode = nullptr;
    std::pair<double, std::string> prefill_rank;
    std::tuple<bool, double, bool, int, std::string> decode_rank;
    double cost_ms = 0;
  };
  struct Load {
    double tokens = 0, squares = 0, prompts = 0, rows = 0, context = 0;
    int free_blocks = 0;
    int chunk_tokens = 0;
    int depth = 1;
  };

  static bool Usable(const Instance& instance) {
    return instance.view.healthy && !instance.view.draining;
  }
  static bool MayPair(const Instance& prefill, const Instance& decode) {
    if (!Usable(decode) || decode.view.role == InstanceRole::kPrefill) return false;
    if (&prefill == &decode) return prefill.view.role == InstanceRole::kMixed;
    return prefill.view.role != InstanceRole::kMixed || decode.view.role != InstanceRole::kMixed;
  }

  static Load LoadOf(const Instance& instance) {
    const InstanceView& view = instance.view;
    Load load;
    load.tokens = static_cast<double>(view.num_queued_tokens);
    load.squares = load.tokens * load.tokens / std::max(1, view.num_queued_prompts);
    load.prompts = view.num_queued_prompts;
    load.rows = view.role == InstanceRole::kPrefill ? view.num_decoding : view.num_requests;
    if (view.num_decoding > 0) {
      load.context = static_cast<double>(static_cast<int64_t>(
          static_cast<double>(view.num_decoding_tokens) / view.num_decoding * load.rows));
    }
    load.free_blocks = view.num_free_blocks;
    load.chunk_tokens = view.chunk_tokens;
    load.depth = view.depth;
    for (const Work& work : instance.dispatched) {
      const double l = work.num_tokens, c = work.num_cached;
      load.tokens += l - c;
      load.squares += l * l - c * c;
      load.prompts += l > c ? 1 : 0;
      load.rows += work.num_rows;
      load.context += work.num_context;
      load.free_blocks -= work.num_blocks;
    }
    return load;
  }

  double PromptMs(const Load& load, double tokens, double squares, double least_steps) const {
    const double steps =
        std::max(least_steps, std::ceil(tokens / (load.rows > 0 ? load.chunk_tokens : 512)));
    double step = speed_.prefill.base_ms;
    if (load.rows > 0) {
      step = std::max(step, speed_.decode.base_ms) + load.rows * speed_.decode.row_ms +
             load.context * speed_.decode.context_ms;
    }
    return tokens * speed_.prefill.token_ms + squares * speed_.prefill.square_ms + steps * step;
  }
  double WaitMs(const Load& load) const {
    return load.tokens <= 0 ? 0
                            : PromptMs(load, load.tokens, load.squares, load.prompts) / load.depth;
  }

  static int Cached(const Instance& instance, const RouteRequest& request, bool for_prefill) {
    const int size = instance.view.layout.block_size;
    for (const PromptPrefixes& prefixes : request.prefixes) {
      if (prefixes.block_size != size) continue;
      int num_keys = 0;
      for (uint64_t key : prefixes.keys) {
        if (!instance.keys.contains(key)) break;
        ++num_keys;
      }
      const int tokens = std::min(num_keys * size, request.num_prompt_tokens);
      return for_prefill ? std::min(tokens, (request.num_prompt_tokens - 1) / size * size) : tokens;
    }
    return 0;
  }
  static bool HasRoom(const Instance& instance, const RouteRequest& request) {
    return LoadOf(instance).free_blocks > instance.view.layout.NumBlocks(request.num_prompt_tokens);
  }

  Option Pair(Instance& prefill, Instance& decode, const RouteRequest& request) const {
    const Load at_prefill = LoadOf(prefill), at_decode = LoadOf(decode);
    const double l = request.num_prompt_tokens, c = Cached(prefill, request, true);
    const double compute = PromptMs(at_prefill, l - c, l * l - c * c, 1);
    const double ttft = WaitMs(at_prefill) + compute;
    const double step = speed_.decode.base_ms + (at_decode.rows + 1) * speed_.decode.row_ms +
                        (at_decode.context + l) * speed_.decode.context_ms;
    Option option{.prefill = &prefill, .decode = &decode};
    const double until_token = ttft + 0.125 * at_prefill.rows * compute;
    const int tokens = std::min(64, std::max(1, request.max_tokens - 1));
    option.cost_ms = until_token + tokens * step * (1 + 0.001 * at_decode.rows);
    if (&prefill != &decode) {
      const KvLayout& layout = decode.view.layout;
      const double bytes = (l - Cached(decode, request, false)) * 2 * layout.num_layers *
                           static_cast<double>(layout.TokenBytes());
      const double transfer = bytes / kv_bytes_per_second_ * 1000, layers = layout.num_layers;
      option.cost_ms += 0.5 + WaitMs(at_decode) +
                        std::max(transfer / layers, transfer - compute * (layers - 1) / layers);
    }
    option.prefill_rank = {until_token, prefill.view.id.value()};
    option.decode_rank = {!HasRoom(decode, request), option.cost_ms, &prefill != &decode,
                          -at_decode.free_blocks, decode.view.id.value()};
    return option;
  }

  static void Count(const Option& option, const RouteRequest& request) {
    const Work prompt{.num_tokens = request.num_prompt_tokens,
                      .num_cached = Cached(*option.prefill, request, true)};
    Work decode{.num_blocks = option.decode->view.layout.NumBlocks(request.num_prompt_tokens) + 1,
                .num_rows = 1,
                .num_context = request.num_prompt_tokens};
    if (option.prefill == option.decode) {
      decode.num_tokens = prompt.num_tokens;
      decode.num_cached = prompt.num_cached;
    } else {
      option.prefill->dispatched.push_back(prompt);
    }
    option.decode->dispatched.push_back(decode);
  }

  const LatencyCoefficients speed_;
  const double kv_bytes_per_second_;
  std::map<std::string, Instance> instances_;
};

}  // namespace tandem
