// A prefill and a decode instance with everything between them played by a seeded random: message
// order, KV transfer, aborts, dead steps, lost transfers, expired leases, replays. Fails the test
// on the spot when a token is wrong or doubled, a request is lost or ends twice, or the ledger is
// off.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/scheduler/fake_runner.h"

namespace tandem {

struct ClusterOptions {
  uint32_t seed = 0;
  InstanceOptions prefill;
  InstanceOptions decode;
  int max_prompt_tokens = 24;
  int max_tokens = 16;
  double chat_rate = 0.5;    // prompts that begin as others do
  double fault_rate = 0.02;  // of each kind, per operation
};

// `Scheduler` as in FakeInstanceOf.
template <typename Scheduler>
class SimulatedClusterOf {
 public:
  explicit SimulatedClusterOf(const ClusterOptions& options)
      : options_(options), random_(options.seed) {
    workers_.emplace_back(options.prefill);
    workers_.emplace_back(options.decode);
  }

  // Plays `num_operations` random operations, then lets everything come to its end.
  void Run(int num_operations) {
    for (int i = 0; i < num_operations && !testing::Test::HasFailure(); ++i) {
      Operate(/*faults=*/true);
    }
    for (int i = 0; i < 100000 && num_open_clients_ > 0; ++i) Operate(/*faults=*/false);
    EXPECT_EQ(num_open_clients_, 0) << "stuck";
    for (int i = 0; i < 300 || !messages_.empty(); ++i) Operate(/*faults=*/false);
    now_ += absl::Hours(1);  // what nobody pulled
    for (int side : {kPrefill, kDecode}) {
      workers_[side].scheduler->Tick(now_);
      React(side, workers_[side].scheduler->TakeEvents());
    }
    while (!messages_.empty()) Deliver();
    CheckEnd();
  }

  // Every batch and event, one a line.
  const std::string& log() const { return log_; }
  const Scheduler& scheduler(int side) const { return *workers_[side].scheduler; }
  SchedulerStats stats(int side) const { return workers_[side].scheduler->Stats(); }
  int num_clients() const { return static_cast<int>(clients_.size()); }
  int num_completed() const { return num_completed_; }
  int num_replays() const { return num_replays_; }

  static constexpr int kPrefill = 0;
  static constexpr int kDecode = 1;

 private:
  struct Worker : FakeInstanceOf<Scheduler> {
    using FakeInstanceOf<Scheduler>::FakeInstanceOf;
    std::deque<Batch> in_flight;
    std::map<std::pair<uint64_t, uint32_t>, int> num_ends;  // of each accepted attempt
  };

  // One attempt's way from the prefill to the decode worker.
  struct Transfer {
    std::vector<BlockId> source, target;  // empty until begun, reserved
    int num_shared_tokens = 0;            // of the target, which are there already
    int num_received_blocks = 0;          // the rest of the target
    int num_tokens = 0;
    int num_stored = 0;  // positions that the source has computed
    int num_copied = 0;
    std::optional<TokenId> first_token;
    bool over = false;     // nothing is copied any more
    bool settled = false;  // decode worker: offered, or the blocks are being fenced
  };

  struct Client {
    Request request;
    std::vector<TokenId> received;
    bool needs_route = true;
    bool aborted = false;
    bool done = false;
    bool handed_off = false;
  };

  using Attempt = std::pair<uint64_t, uint32_t>;

  int Random(int bound) { return static_cast<int>(random_() % bound); }
  bool Chance(double probability) { return Random(10000) < probability * 10000; }

  void Operate(bool faults) {
    now_ += absl::Milliseconds(Random(3));
    const double rate = faults ? options_.fault_rate : 0;
    if (faults && num_open_clients_ < 20 && Chance(0.3)) NewClient();
    RouteOne();
    if (Chance(0.7)) StartStep(kPrefill);
    if (Chance(0.7)) StartStep(kDecode);
    if (Chance(0.8)) EndStep(kPrefill, rate);
    if (Chance(0.8)) EndStep(kDecode, rate);
    if (Chance(0.7)) CopySome();
    // An offer may reserve blocks for others, which a transfer that is given up next must know of.
    React(kDecode, workers_[kDecode].scheduler->TakeEvents());
    if (Chance(0.7)) Deliver();
    if (Chance(rate)) AbortOne();
    if (Chance(rate)) LoseTransfer();
    if (Chance(rate)) ReplayOne();
    if (Chance(rate / 4)) now_ += options_.prefill.lease;
    for (int side : {kPrefill, kDecode}) {
      if (Chance(0.2)) workers_[side].scheduler->Tick(now_);
      React(side, workers_[side].scheduler->TakeEvents());
      CheckLedger(side);
    }
  }

  void NewClient() {
    Client client;
    client.request = MakeRequest(clients_.size() + 1, 1 + Random(options_.max_prompt_tokens),
                                 1 + Random(options_.max_tokens));
    if (!clients_.empty() && Chance(options_.chat_rate)) ContinueChat(&client.request);
    client.request.cache_salt = Random(2);
    client.request.priority = Random(3);
    client.request.sampling.seed = random_();
    client.request.sampling.min_tokens = Random(client.request.sampling.max_tokens + 1);
    client.request.sampling.stop_token_ids = {TokenId(Random(kVocabSize)), 3};
    if (Chance(options_.fault_rate * 5))
      client.request.deadline = now_ + absl::Milliseconds(Random(200));
    clients_.push_back(std::move(client));
    ++num_open_clients_;
  }

  // The prompt begins as what an earlier client has sent and received.
  void ContinueChat(Request* request) {
    const Client& earlier = clients_[Random(static_cast<int>(clients_.size()))];
    std::vector<TokenId> prompt = earlier.request.prompt;
    prompt.insert(prompt.end(), earlier.received.begin(), earlier.received.end());
    prompt.insert(prompt.end(), request->prompt.begin(),
                  request->prompt.begin() + 1 + Random(static_cast<int>(request->prompt.size())));
    prompt.resize(std::min<size_t>(prompt.size(), options_.max_prompt_tokens));
    request->prompt = std::move(prompt);
  }

  void RouteOne() {
    for (Client& client : clients_) {
      if (client.done || !client.needs_route || !Chance(0.5)) continue;
      Request request = client.request;
      request.generated = client.received;
      client.handed_off = Chance(0.7);
      client.needs_route = false;
      const Attempt attempt(request.id.value(), request.attempt);
      if (!client.handed_off) {
        const int side = Random(2);
        if (!Accept(side, workers_[side].scheduler->Add(request, now_), attempt)) Reroute(client);
        // The other worker may still have an earlier attempt; its results are stale.
        if (request.attempt > 0) SendAbort(1 - side, request.id, request.attempt - 1);
      } else {
        transfers_[attempt];
        open_.insert(attempt);
        const bool expected =
            Accept(kDecode, workers_[kDecode].scheduler->Expect(request, now_), attempt);
        request.hand_off = true;
        if (!expected ||
            !Accept(kPrefill, workers_[kPrefill].scheduler->Add(request, now_), attempt)) {
          SendAbort(kDecode, request.id, request.attempt);
          Close(attempt, transfers_[attempt]);
          Reroute(client);
        }
      }
      return;
    }
  }

  bool Accept(int side, const absl::Status& status, const Attempt& attempt) {
    if (status.ok()) {
      workers_[side].num_ends[attempt];
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    }
    React(side, workers_[side].scheduler->TakeEvents());
    return status.ok();
  }

  void Reroute(Client& client) {
    ++client.request.attempt;
    client.needs_route = true;
  }

  void StartStep(int side) {
    Worker& worker = workers_[side];
    const InstanceOptions& options = side == kPrefill ? options_.prefill : options_.decode;
    Batch batch = worker.scheduler->Schedule(now_);
    worker.runner.Copy(batch.copies);
    CheckCopies(side, batch.copies);
    React(side, worker.scheduler->TakeEvents());
    if (batch.empty()) return;
    EXPECT_LE(batch.NumTokens(), options.max_num_batched_tokens);
    EXPECT_LE(static_cast<int>(batch.rows.size()), options.max_num_seqs);
    absl::StrAppend(&log_, side == kPrefill ? "P" : "D", " step ", batch.step, ":");
    for (const BatchRow& row : batch.rows) {
      absl::StrAppend(&log_, " ", row.request.value(), "[", row.begin, "+", row.num_tokens, "]");
      for (BlockId block : row.block_table) absl::StrAppend(&log_, ",", block);
    }
    for (const BlockCopy& copy : batch.copies) {
      absl::StrAppend(&log_, " ", copy.block, copy.direction == CopyDirection::kOut ? ">" : "<",
                      copy.host_block);
    }
    absl::StrAppend(&log_, "\n");
    worker.in_flight.push_back(std::move(batch));
  }

  // No batch in flight writes to blocks that are copied.
  void CheckCopies(int side, absl::Span<const BlockCopy> copies) {
    const int block_size = (side == kPrefill ? options_.prefill : options_.decode).block_size;
    std::set<BlockId> written;
    for (const Batch& batch : workers_[side].in_flight) {
      for (const BatchRow& row : batch.rows) {
        for (int i = row.begin; i < row.begin + row.num_tokens; ++i) {
          written.insert(row.block_table[i / block_size]);
        }
      }
    }
    for (const BlockCopy& copy : copies) EXPECT_FALSE(written.contains(copy.block)) << copy.block;
  }

  void EndStep(int side, double fault_rate) {
    Worker& worker = workers_[side];
    if (worker.in_flight.empty()) return;
    const int index = Random(static_cast<int>(worker.in_flight.size()));
    const Batch batch = std::move(worker.in_flight[index]);
    worker.in_flight.erase(worker.in_flight.begin() + index);
    if (Chance(fault_rate)) {
      return React(side, worker.scheduler->Fail(batch, absl::InternalError("dead step"), now_));
    }
    const StepOutput output = worker.runner.Run(batch);
    for (const BatchRow& row : batch.rows) {
      if (side != kPrefill) break;
      // The batch may be of an attempt that has ended: blocks tell it from the present one.
      for (auto it = transfers_.lower_bound({row.request.value(), 0});
           it != transfers_.end() && it->first.first == row.request.value(); ++it) {
        Transfer& transfer = it->second;
        if (transfer.over || row.block_table != absl::MakeConstSpan(transfer.source)) continue;
        transfer.num_stored = row.begin + row.num_tokens;
      }
    }
    React(side, worker.scheduler->Commit(batch, output, now_));
  }

  void React(int side, std::vector<Event> events) {
    for (const Event& event : events) {
      absl::StrAppend(&log_, side == kPrefill ? "P" : "D", " event ", int(event.kind), " of ",
                      event.id.value(), ".", event.attempt, " token ", event.token.token, "\n");
      const Attempt attempt(event.id.value(), event.attempt);
      if (const auto found = transfers_.find(attempt); found != transfers_.end()) {
        ReactTransfer(side, event, attempt, found->second);
      }
      ReactClient(side, event, clients_[event.id.value() - 1]);
      if (IsTerminal(event.kind)) {
        EXPECT_EQ(++workers_[side].num_ends[attempt], 1) << "ends twice";
      }
    }
  }

  void ReactTransfer(int side, const Event& event, const Attempt& attempt, Transfer& transfer) {
    if (side == kPrefill && event.kind == EventKind::kBegun) {
      transfer.source = event.block_table;
      transfer.num_stored = event.num_cached_tokens;
      transfer.num_tokens = event.num_tokens;
      Send([this, id = event.id, n = event.attempt] {
        workers_[kDecode].scheduler->Begun(id, n, now_);
      });
    } else if (side == kPrefill && event.kind == EventKind::kToken) {
      transfer.first_token = event.token.token;
    } else if (side == kPrefill && event.kind == EventKind::kFinished) {
      Close(attempt, transfer);
      if (event.reason != FinishReason::kAborted) SendAbort(kDecode, event.id, event.attempt);
    } else if (side == kPrefill && IsTerminal(event.kind) && !transfer.over) {
      GiveUp(event.id, event.attempt, transfer);
    } else if (side == kDecode && event.kind == EventKind::kReserved) {
      EXPECT_EQ(event.num_tokens, transfer.num_tokens);
      transfer.target = event.block_table;
      transfer.num_shared_tokens = transfer.num_copied = event.num_cached_tokens;
      transfer.num_received_blocks = static_cast<int>(transfer.target.size()) -
                                     event.num_cached_tokens / options_.decode.block_size;
      num_receiving_ += transfer.num_received_blocks;
    } else if (side == kDecode && IsTerminal(event.kind)) {
      Close(attempt, transfer);
      SendAbort(kPrefill, event.id, event.attempt);
      Settle(event.id, event.attempt, transfer);
    }
  }

  void Close(const Attempt& attempt, Transfer& transfer) {
    transfer.over = true;
    open_.erase(attempt);
  }

  // The transfer has failed; the decode worker hears of it now or later.
  void GiveUp(RequestId id, uint32_t attempt, Transfer& transfer) {
    Close({id.value(), attempt}, transfer);
    Send([this, id, attempt] {
      workers_[kDecode].scheduler->Recompute(id, attempt, now_);
      SendAbort(kPrefill, id, attempt);
      Settle(id, attempt, transfers_[{id.value(), attempt}]);
    });
  }

  // The decode worker's scheduler has let go of a reservation that got no offer: some writes are
  // still under way; once they have landed, the fence is told.
  void Settle(RequestId id, uint32_t attempt, Transfer& transfer) {
    if (transfer.target.empty() || std::exchange(transfer.settled, true)) return;
    num_receiving_ -= transfer.num_received_blocks;
    num_quarantined_ += transfer.num_received_blocks;
    Send([this, id, attempt, &transfer] {
      num_quarantined_ -= transfer.num_received_blocks;
      for (int i = transfer.num_shared_tokens; i < transfer.num_tokens; ++i) {
        workers_[kDecode].runner.Slot(transfer.target, i) = 0xBAD;
      }
      workers_[kDecode].scheduler->Fence(id, attempt, now_);
    });
  }

  void ReactClient(int side, const Event& event, Client& client) {
    if (event.attempt != client.request.attempt || client.done || client.needs_route) return;
    if (event.kind == EventKind::kToken) {
      if (event.index < static_cast<int>(client.received.size())) {
        EXPECT_GT(workers_[kDecode].scheduler->Stats().recomputes, 0);
        EXPECT_EQ(client.received[event.index], event.token.token);
      } else {
        ASSERT_EQ(event.index, static_cast<int>(client.received.size()));
        client.received.push_back(event.token.token);
      }
    }
    if (!IsTerminal(event.kind)) return;
    const bool complete =
        event.kind == EventKind::kFinished &&
        (event.reason == FinishReason::kStop || event.reason == FinishReason::kLength);
    if (complete) {
      Request request = client.request;
      EXPECT_EQ(client.received, ExpectedOutput(request, options_.prefill.max_model_len))
          << "request " << request.id;
      ++num_completed_;
    }
    // What fails on the prefill worker is computed again on the decode worker.
    if (!complete && !client.aborted && client.handed_off && side == kPrefill) return;
    EXPECT_TRUE(client.aborted || event.reason != FinishReason::kAborted) << event.id;
    client.done = true;
    --num_open_clients_;
  }

  // Positions that are stored at the source, in order; the last one hands the request over.
  void CopySome() {
    for (auto it = open_.begin(); it != open_.end();) {
      const Attempt attempt = *it++;  // an offer closes it
      Transfer& transfer = transfers_[attempt];
      if (transfer.target.empty() || !Chance(0.7)) continue;
      const int end = std::min(transfer.num_stored, transfer.num_copied + 1 + Random(12));
      for (; transfer.num_copied < end; ++transfer.num_copied) {
        workers_[kDecode].runner.Slot(transfer.target, transfer.num_copied) =
            workers_[kPrefill].runner.Slot(transfer.source, transfer.num_copied);
      }
      if (transfer.num_copied < transfer.num_tokens || !transfer.first_token) continue;
      Close(attempt, transfer);
      transfer.settled = true;
      num_receiving_ -= transfer.num_received_blocks;
      const RequestId id(attempt.first);
      workers_[kDecode].scheduler->Offer(
          {.id = id, .attempt = attempt.second, .first_token = *transfer.first_token}, now_);
      Send([this, id, n = attempt.second] { workers_[kPrefill].scheduler->Release(id, n, now_); });
    }
  }

  void AbortOne() {
    if (clients_.empty()) return;
    Client& client = clients_[Random(static_cast<int>(clients_.size()))];
    if (client.done || client.needs_route) return;
    client.aborted = true;
    SendAbort(kPrefill, client.request.id, client.request.attempt);
    SendAbort(kDecode, client.request.id, client.request.attempt);
  }

  void LoseTransfer() {
    if (open_.empty()) return;
    const Attempt attempt = *std::next(open_.begin(), Random(static_cast<int>(open_.size())));
    GiveUp(RequestId(attempt.first), attempt.second, transfers_[attempt]);
  }

  // As if a worker had died: a new attempt, while the old one may still be anywhere.
  void ReplayOne() {
    if (clients_.empty()) return;
    Client& client = clients_[Random(static_cast<int>(clients_.size()))];
    if (client.done || client.needs_route || client.aborted) return;
    SendAbort(kPrefill, client.request.id, client.request.attempt);
    SendAbort(kDecode, client.request.id, client.request.attempt);
    const auto found = transfers_.find({client.request.id.value(), client.request.attempt});
    if (found != transfers_.end()) Close(found->first, found->second);
    ++num_replays_;
    Reroute(client);
  }

  void SendAbort(int side, RequestId id, uint32_t attempt) {
    Send([this, side, id, attempt] { workers_[side].scheduler->Abort(id, attempt, now_); });
  }

  void Send(std::function<void()> message) { messages_.push_back(std::move(message)); }

  // Any message may come before any other.
  void Deliver() {
    if (messages_.empty()) return;
    const int index = Random(static_cast<int>(messages_.size()));
    const std::function<void()> message = std::move(messages_[index]);
    messages_.erase(messages_.begin() + index);
    message();
    for (int side : {kPrefill, kDecode}) {
      React(side, workers_[side].scheduler->TakeEvents());
    }
  }

  void CheckLedger(int side) {
    const SchedulerStats stats = workers_[side].scheduler->Stats();
    int sum = 0;
    for (int count : stats.blocks) sum += count;
    ASSERT_EQ(sum, stats.num_blocks);
    const int num_host_blocks =
        (side == kPrefill ? options_.prefill : options_.decode).num_host_blocks;
    ASSERT_EQ(stats.host_blocks.free + stats.host_blocks.swapped, num_host_blocks);
    // Only sequences that wait have something there.
    if (stats.waiting_requests == 0) {
      ASSERT_EQ(stats.host_blocks.swapped, 0);
    }
    ASSERT_EQ(stats.ledger_breaches, 0);
    if (side == kPrefill) return;
    ASSERT_EQ(stats.blocks[int(BlockState::kReceiving)], num_receiving_);
    ASSERT_EQ(stats.blocks[int(BlockState::kQuarantined)], num_quarantined_);
  }

  void CheckEnd() {
    for (const Worker& worker : workers_) {
      const SchedulerStats stats = worker.scheduler->Stats();
      EXPECT_EQ(worker.NumUnused(), stats.num_blocks);
      EXPECT_EQ(stats.host_blocks.swapped, 0);
      EXPECT_EQ(stats.waiting_requests + stats.waiting_tokens + stats.prefilling_requests +
                    stats.decoding_requests + stats.expected_requests + stats.receiving_requests +
                    stats.leased_requests,
                0);
      EXPECT_EQ(worker.scheduler->NextTick(), absl::InfiniteFuture());
      for (const auto& [attempt, count] : worker.num_ends) {
        EXPECT_EQ(count, 1) << "request " << attempt.first << " attempt " << attempt.second;
      }
    }
  }

  const ClusterOptions options_;
  std::mt19937 random_;
  absl::Time now_ = absl::UnixEpoch();
  std::vector<Worker> workers_;
  std::vector<Client> clients_;  // index: id - 1
  std::map<Attempt, Transfer> transfers_;
  std::set<Attempt> open_;  // not over
  int num_receiving_ = 0;   // blocks of the decode worker, as they have to be
  int num_quarantined_ = 0;
  std::vector<std::function<void()>> messages_;
  std::string log_;
  int num_open_clients_ = 0;
  int num_completed_ = 0;
  int num_replays_ = 0;
};
using SimulatedCluster = SimulatedClusterOf<InstanceScheduler>;

}  // namespace tandem
