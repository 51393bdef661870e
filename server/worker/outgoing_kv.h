// The KV of one prompt on a prefill worker, as far as it is computed: written by the step loop,
// read by the stream that sends it to a decode worker.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/core/ids.h"

namespace tandem {

// Thread-safe.
class OutgoingKv {
 public:
  explicit OutgoingKv(int num_layers) : layer_tokens_(num_layers, 0) {}

  // What stands at one moment.
  struct Snapshot {
    bool begun = false;
    int num_tokens = 0;                // of the prompt
    std::vector<BlockId> block_table;  // where they are or will be stored
    std::vector<int> layer_tokens;     // per layer: positions stored so far
    std::optional<TokenId> first_token;
    bool finished = false;  // the first token ended the request
    absl::Status status;    // not OK: the prompt is gone
  };
  Snapshot Get() const;

  // The first `num_cached` positions are stored already.
  void Begin(int num_tokens, std::vector<BlockId> block_table, int num_cached);
  void SetLayerTokens(int layer, int num_tokens);
  void SetFirstToken(TokenId token, bool finished);
  void Fail(const absl::Status& status);

  // Called after each change, from the changing thread; must not block. A further pull of the same
  // KV takes over from the one before; only the present owner's listener can be dropped.
  void SetListener(const void* owner, std::function<void()> listener);
  void DropListener(const void* owner);
  bool IsOwner(const void* owner) const;  // no further pull has come since

 private:
  void Notify();

  mutable absl::Mutex mutex_;
  bool begun_ ABSL_GUARDED_BY(mutex_) = false;
  int num_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<BlockId> block_table_ ABSL_GUARDED_BY(mutex_);
  std::vector<int> layer_tokens_ ABSL_GUARDED_BY(mutex_);
  std::optional<TokenId> first_token_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> listener_ ABSL_GUARDED_BY(mutex_);
  const void* listener_owner_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

// Where a Prefill call and the PullKv call of the same request meet, whichever comes first. An
// entry lives as long as one of them holds it. Thread-safe.
class OutgoingKvTable {
 public:
  explicit OutgoingKvTable(int num_layers) : num_layers_(num_layers) {}

  std::shared_ptr<OutgoingKv> FindOrCreate(RequestId id, uint32_t attempt);

 private:
  const int num_layers_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::pair<RequestId, uint32_t>, std::weak_ptr<OutgoingKv>> entries_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem
