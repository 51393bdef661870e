// An executor with a KV pool of its own whose tokens depend on every stored position: a block that
// is shared, freed too early or filled wrongly changes the tokens or fails the test on the spot.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/core/batch.h"
#include "engine/core/request.h"
#include "scheduler/instance_scheduler.h"

namespace tandem {

inline constexpr int kVocabSize = 64;

// The "KV" of a position: a hash of the token there and the KV of the position before.
inline uint64_t FakeKv(uint64_t before, TokenId token) {
  uint64_t x = before * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(token) + 1;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9u;
  return x ^ (x >> 32);
}

inline TokenId FakeSample(uint64_t last_kv, uint64_t seed) {
  return static_cast<TokenId>(FakeKv(last_kv, static_cast<TokenId>(seed % 1000)) % kVocabSize);
}

class FakeRunner {
 public:
  explicit FakeRunner(const InstanceOptions& options)
      : block_size_(options.block_size),
        slots_(size_t(options.num_blocks) * options.block_size, 0),
        host_slots_(size_t(options.num_host_blocks) * options.block_size, 0) {}

  void Copy(absl::Span<const BlockCopy> copies) {
    for (const BlockCopy& copy : copies) {
      const auto pool = slots_.begin() + size_t(copy.block) * block_size_;
      const auto host = host_slots_.begin() + size_t(copy.host_block) * block_size_;
      if (copy.direction == CopyDirection::kOut) {
        std::copy_n(pool, block_size_, host);
      } else {
        std::copy_n(host, block_size_, pool);
      }
    }
  }

  uint64_t& Slot(absl::Span<const BlockId> block_table, int position) {
    return slots_[size_t(block_table[position / block_size_]) * block_size_ +
                  position % block_size_];
  }

  // Blocks that a row writes are in no other row's table; rows of a common prefix share the rest.
  void CheckOwnBlocks(const Batch& batch) const {
    std::map<BlockId, int> num_tables;
    for (const BatchRow& row : batch.rows) {
      for (BlockId block : row.block_table) ++num_tables[block];
    }
    for (const BatchRow& row : batch.rows) {
      for (int i = row.begin; i < row.begin + row.num_tokens; ++i) {
        EXPECT_EQ(num_tables[row.block_table[i / block_size_]], 1)
            << "request " << row.request << " position " << i;
      }
    }
  }

  StepOutput Run(const Batch& batch) {
    StepOutput output;
    CheckOwnBlocks(batch);
    for (const BatchRow& row : batch.rows) {
      RowOutput& answer = output.rows.emplace_back();
      answer.request = row.request;
      uint64_t kv = 0;
      for (int i = 0; i < row.begin; ++i) {
        kv = FakeKv(kv, row.tokens[i]);
        EXPECT_EQ(Slot(row.block_table, i), kv) << "request " << row.request << " position " << i;
      }
      for (int i = row.begin; i < row.begin + row.num_tokens; ++i) {
        kv = FakeKv(i == 0 ? 0 : Slot(row.block_table, i - 1), row.tokens[i]);
        Slot(row.block_table, i) = kv;
        if (row.sampling->num_prompt_logprobs >= 0 && i > 0 && i < row.num_prompt_tokens) {
          answer.prompt_logprobs.push_back(
              {.position = i, .token = {.token = row.tokens[i], .top = {}}});
        }
      }
      if (row.sample) {
        answer.tokens.push_back({.token = FakeSample(kv, row.sampling->seed), .top = {}});
      }
    }
    return output;
  }

 private:
  const int block_size_;
  std::vector<uint64_t> slots_;
  std::vector<uint64_t> host_slots_;
};

// What the request's output has to be, whoever computes it; includes the tokens of `generated`.
inline std::vector<TokenId> ExpectedOutput(const Request& request, int max_model_len) {
  uint64_t kv = 0;
  std::vector<TokenId> output;
  for (TokenId token : request.prompt) kv = FakeKv(kv, token);
  while (true) {
    const TokenId token = FakeSample(kv, request.sampling.seed);
    output.push_back(token);
    const int count = static_cast<int>(output.size());
    const auto& stops = request.sampling.stop_token_ids;
    if (count >= request.sampling.min_tokens &&
        std::find(stops.begin(), stops.end(), token) != stops.end()) {
      return output;
    }
    if (count >= request.sampling.max_tokens) return output;
    if (count + static_cast<int>(request.prompt.size()) >= max_model_len) return output;
    kv = FakeKv(kv, token);
  }
}

// A scheduler with its runner, stepped by hand. Keeps every event it has seen. `Scheduler` is an
// InstanceScheduler, or has its interface.
template <typename Scheduler>
struct FakeInstanceOf {
  explicit FakeInstanceOf(const InstanceOptions& options)
      : scheduler(std::move(Scheduler::Create(options)).value()), runner(options) {}

  // One step: false when nothing was runnable.
  bool Step(absl::Time now = absl::UnixEpoch()) {
    const Batch batch = scheduler->Schedule(now);
    runner.Copy(batch.copies);
    Collect(scheduler->TakeEvents());
    if (batch.empty()) return false;
    last_batch_rows = batch.rows;
    Collect(scheduler->Commit(batch, runner.Run(batch), now));
    return true;
  }
  void RunUntilIdle(absl::Time now = absl::UnixEpoch()) {
    while (Step(now)) {
    }
  }
  void Collect(std::vector<Event> fresh) {
    for (Event& event : fresh) events.push_back(std::move(event));
  }
  void TakeEvents() { Collect(scheduler->TakeEvents()); }

  std::vector<Event> EventsOf(RequestId id, EventKind kind) const {
    std::vector<Event> found;
    for (const Event& event : events) {
      if (event.id == id && event.kind == kind) found.push_back(event);
    }
    return found;
  }
  bool Has(RequestId id, EventKind kind) const { return !EventsOf(id, kind).empty(); }
  std::vector<TokenId> TokensOf(RequestId id) const {
    std::vector<TokenId> tokens;
    for (const Event& event : EventsOf(id, EventKind::kToken)) tokens.push_back(event.token.token);
    return tokens;
  }
  int NumBlocks(BlockState state) const {
    return scheduler->Stats().blocks[static_cast<int>(state)];
  }
  // Free or cached.
  int NumUnused() const { return NumBlocks(BlockState::kFree) + NumBlocks(BlockState::kCached); }

  std::unique_ptr<Scheduler> scheduler;
  FakeRunner runner;
  std::vector<Event> events;
  std::vector<BatchRow> last_batch_rows;  // spans are stale; the numbers are good
};
using FakeInstance = FakeInstanceOf<InstanceScheduler>;

inline InstanceOptions SmallOptions() {
  return {.num_blocks = 32,
          .block_size = 4,
          .max_model_len = 100,
          .max_num_seqs = 8,
          .max_num_batched_tokens = 16};
}

inline std::vector<uint64_t> RowIds(const std::vector<BatchRow>& rows) {
  std::vector<uint64_t> ids;
  for (const BatchRow& row : rows) ids.push_back(row.request.value());
  return ids;
}

// `num_prompt_tokens` tokens that differ from those of other ids.
inline Request MakeRequest(uint64_t id, int num_prompt_tokens, int max_tokens) {
  Request request;
  request.id = RequestId(id);
  for (int i = 0; i < num_prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<TokenId>((id * 31 + i * 7) % kVocabSize));
  }
  request.sampling.max_tokens = max_tokens;
  return request;
}

}  // namespace tandem
