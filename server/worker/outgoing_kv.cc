#include "server/worker/outgoing_kv.h"

#include <algorithm>
#include <utility>

namespace tandem {

OutgoingKv::Snapshot OutgoingKv::Get() const {
  absl::MutexLock lock(&mutex_);
  return {.begun = begun_,
          .num_tokens = num_tokens_,
          .block_table = block_table_,
          .layer_tokens = layer_tokens_,
          .first_token = first_token_,
          .finished = finished_,
          .status = status_};
}

void OutgoingKv::Begin(int num_tokens, std::vector<BlockId> block_table, int num_cached) {
  {
    absl::MutexLock lock(&mutex_);
    begun_ = true;
    num_tokens_ = num_tokens;
    block_table_ = std::move(block_table);
    std::fill(layer_tokens_.begin(), layer_tokens_.end(), num_cached);
  }
  Notify();
}

void OutgoingKv::SetLayerTokens(int layer, int num_tokens) {
  {
    absl::MutexLock lock(&mutex_);
    layer_tokens_[layer] = num_tokens;
  }
  Notify();
}

void OutgoingKv::SetFirstToken(TokenId token, bool finished) {
  {
    absl::MutexLock lock(&mutex_);
    first_token_ = token;
    finished_ = finished;
  }
  Notify();
}

void OutgoingKv::Fail(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = status;
  }
  Notify();
}

void OutgoingKv::SetListener(const void* owner, std::function<void()> listener) {
  absl::MutexLock lock(&mutex_);
  listener_owner_ = owner;
  listener_ = std::move(listener);
}

void OutgoingKv::DropListener(const void* owner) {
  absl::MutexLock lock(&mutex_);
  if (listener_owner_ == owner) listener_ = nullptr;
}

bool OutgoingKv::IsOwner(const void* owner) const {
  absl::MutexLock lock(&mutex_);
  return listener_owner_ == owner;
}

void OutgoingKv::Notify() {
  absl::MutexLock lock(&mutex_);
  if (listener_) listener_();
}

std::shared_ptr<OutgoingKv> OutgoingKvTable::FindOrCreate(RequestId id, uint32_t attempt) {
  absl::MutexLock lock(&mutex_);
  std::weak_ptr<OutgoingKv>& entry = entries_[{id, attempt}];
  std::shared_ptr<OutgoingKv> kv = entry.lock();
  if (kv != nullptr) return kv;
  // The last owner takes the entry out of the table, unless it has been made anew by then.
  kv = std::shared_ptr<OutgoingKv>(new OutgoingKv(num_layers_),
                                   [this, id, attempt](OutgoingKv* dead) {
                                     delete dead;
                                     absl::MutexLock lock(&mutex_);
                                     const auto it = entries_.find({id, attempt});
                                     if (it != entries_.end() && it->second.expired())
                                       entries_.erase(it);
                                   });
  entry = kv;
  return kv;
}

}  // namespace tandem
