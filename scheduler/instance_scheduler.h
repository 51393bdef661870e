// Decides what runs next on one instance and what each of its KV blocks is for. Production and
// simulator drive the same object; only the executor and the owner of the clock differ.
//
//   const Batch batch = scheduler->Schedule(now);
//   runner->Copy(batch.copies);                                // swaps
//   React(scheduler->TakeEvents());                            // kBegun: KV may be streamed
//   absl::StatusOr<StepOutput> output = runner->Run(batch);
//   React(output.ok() ? scheduler->Commit(batch, *output, now)
//                     : scheduler->Fail(batch, output.status(), now));
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/core/batch.h"
#include "engine/core/request.h"
#include "scheduler/block_manager.h"
#include "scheduler/decode_scheduler.h"
#include "scheduler/event.h"
#include "scheduler/expiry_table.h"
#include "scheduler/fair_clock.h"
#include "scheduler/handoff_receiver.h"
#include "scheduler/in_flight.h"
#include "scheduler/instance_options.h"
#include "scheduler/prefill_scheduler.h"
#include "scheduler/scheduler_stats.h"
#include "scheduler/sequence.h"
#include "scheduler/sequence_blocks.h"
#include "scheduler/unfinished_request.h"

namespace tandem {

// Single-threaded: the caller owns it. Never blocks, never reads a clock. The same calls with the
// same times give the same batches and events.
//
// A request is named by its id and attempt; a call that names another attempt than the one here, or
// an id that is not here, is stale and has no effect. Blocks are given out strictly in order of
// (priority, due, tenant's turn, arrival), to prefills and receives alike; when a decoding
// sequence needs a block and none is free, the last in this order loses all of its blocks and goes
// on later, without any token being sent twice: with the KV that the host tier has kept for it or,
// where there is no room or that would take longer, by computing it again. What is known of its
// prefix by then, or of any other request's, is neither copied nor computed.
class InstanceScheduler {
 public:
  // INVALID_ARGUMENT names the field of `options` that makes no sense.
  static absl::StatusOr<std::unique_ptr<InstanceScheduler>> Create(const InstanceOptions& options);

  const InstanceOptions& options() const { return options_; }

  // --- Requests in. A request that is not accepted leaves no trace and gets no events:
  // INVALID_ARGUMENT (no prompt, or no room for output in max_model_len), RESOURCE_EXHAUSTED (never
  // fits the pool, or the queue is full), ALREADY_EXISTS (this or a later attempt is here, or
  // blocks of this one are still quarantined). A later attempt of a request aborts the earlier one.
  // A sequence that outgrows the whole pool ends with kLength, as it does at max_model_len.

  // To be prefilled here; then decoded here or, if hand_off is set, kept for another worker.
  absl::Status Add(Request request, absl::Time now);

  // To be decoded here once its KV has come from another worker.
  absl::Status Expect(Request request, absl::Time now);

  // --- Handoff, decode worker.

  // The other worker has begun to compute the prompt. Answered with kReserved once blocks are free.
  void Begun(RequestId id, uint32_t attempt, absl::Time now);

  // All KV of a reserved request is in its blocks. The first token is output already: it gets no
  // kToken here, the next one does.
  void Offer(const KvHandoff& handoff, absl::Time now);

  // The transfer has failed: the request is prefilled here instead, and its first token is drawn
  // (again) here. Blocks into which KV was being written are quarantined.
  void Recompute(RequestId id, uint32_t attempt, absl::Time now);

  // No write into this attempt's quarantined blocks is in flight any more: frees them.
  void Fence(RequestId id, uint32_t attempt, absl::Time now);

  // --- Handoff, prefill worker. The lease on a prompt's KV begins with the first token.

  // It ends at `end`, not when it would have.
  void SetLease(RequestId id, uint32_t attempt, absl::Time end);

  // The decode worker has all KV: kHandedOff.
  void Release(RequestId id, uint32_t attempt, absl::Time now);

  // --- Any stage. The blocks of a request that a batch in flight computes with are freed when the
  // batch is committed, those of one being received after Fence, others at once.
  void Abort(RequestId id, uint32_t attempt, absl::Time now);

  // --- Steps.

  // Decode rows first, then prompt chunks in what is left of the token budget, beside decode rows
  // at most prefill_batch_tokens (stall-free batching, Sarathi-Serve, OSDI 2024). Empty: nothing is
  // runnable, or `depth` batches are in flight. Also does what Tick does.
  Batch Schedule(absl::Time now);

  // Takes back a batch with its output, in any order of batches; returns all events not yet taken.
  // An output that does not fit the batch fails it with INTERNAL.
  std::vector<Event> Commit(const Batch& batch, const StepOutput& output, absl::Time now);

  // The step died; its requests do not, at first: each runs again, alone, and only one whose step
  // dies again fails, with `status`. Positions of the step are computed again.
  std::vector<Event> Fail(const Batch& batch, const absl::Status& status, absl::Time now);

  // Expires leases, and requests whose deadline passed before they began.
  void Tick(absl::Time now);
  // When Tick has something to do; InfiniteFuture: never.
  absl::Time NextTick() const;

  // Events since they were last taken. Call after whatever else than Commit and Fail.
  std::vector<Event> TakeEvents();

  // At most `limit` of the prefixes that have become known here, or unknown, since they were last
  // taken; all that are known count as new after RestartPrefixChanges, and nothing does before.
  void RestartPrefixChanges() { blocks_.RestartPrefixChanges(); }
  PrefixChanges TakePrefixChanges(int limit) { return blocks_.TakePrefixChanges(limit); }

  SchedulerStats Stats() const;

  // All requests in order, but those that only wait for their KV to be pulled.
  std::vector<UnfinishedRequest> Unfinished() const;

 private:
  friend class InstanceSchedulerPeer;  // tests break the ledger through it

  explicit InstanceScheduler(const InstanceOptions& options);

  // Requests in.
  absl::Status CheckRequest(const Request& request) const;
  absl::Status Accept(Request request, SequenceState state);
  Sequence* Find(RequestId id, uint32_t attempt) const;

  // Blocks.
  bool HasSlot() const;
  bool Start(Sequence* sequence);
  // It has its blocks, as `event` says.
  void CountBegun(const Sequence& sequence, const Event& event);
  bool Grow(Sequence* sequence);
  void Preempt(Sequence* sequence);
  void ReserveForBegun();
  void CountCopies(const std::vector<BlockCopy>& copies);

  // Steps.
  void ScheduleSuspect(Batch* batch);
  // The batch's sequences, row by row; null where one ended meanwhile, whose blocks are freed.
  std::vector<Sequence*> TakeInFlight(const Batch& batch);
  void CommitRow(Sequence* sequence, const BatchRow& row, const RowOutput& output, absl::Time now);
  void CommitToken(Sequence* sequence, const SampledToken& token, absl::Time now);
  void Lease(Sequence* sequence, absl::Time now);

  // Ends.
  Event& Emit(EventKind kind, const Sequence& sequence);
  void Finish(Sequence* sequence, FinishReason reason);
  void FailSequence(Sequence* sequence, absl::Status status);
  // Takes the sequence out of all queues and frees its blocks, now or when its batch comes back.
  void Remove(Sequence* sequence);
  // Counts a broken ledger, if `status` is not OK; aborts the process in debug builds.
  void CountBreach(const absl::Status& status);

  const InstanceOptions options_;
  BlockManager blocks_;
  SequenceBlocks sequence_blocks_;
  PrefillScheduler prefill_;
  DecodeScheduler decode_;
  HandoffReceiver receiver_;
  ExpiryTable leases_;
  ExpiryTable deadlines_;   // of requests that have not begun
  SequenceQueue suspects_;  // prefilling or decoding; their last step died

  absl::flat_hash_map<RequestId, std::unique_ptr<Sequence>> sequences_;
  InFlightBatches in_flight_;
  std::vector<Event> events_;
  FairClock fair_clock_;
  uint64_t next_order_ = 0;
  uint64_t last_step_ = 0;
  SchedulerStats totals_;  // the part that counts since the start
};

}  // namespace tandem
