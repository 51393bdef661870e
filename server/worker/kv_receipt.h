// What has arrived of one prompt's KV on a decode worker, and where it goes.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kv/kv_cache.h"
#include "grpcpp/support/slice.h"

namespace tandem {

struct KvFrameHeader;
struct KvPull;

// One thread at a time.
class KvReceipt {
 public:
  // Blocks for positions [0, token_end), of which those before token_begin are stored already.
  struct Reservation {
    std::vector<BlockId> block_table;
    int token_begin = 0;
    int token_end = 0;
  };

  // In the cache of `pull`, which outlives the receipt.
  KvReceipt(const KvPull& pull, Reservation reservation);

  struct Placed {
    int layer = 0;
    KvComponent component = KvComponent::kKeys;
    int token_begin = 0;
    int token_end = 0;
    int64_t bytes = 0;
    bool intact = false;     // false: the checksum of header and payload does not hold
    bool duplicate = false;  // all of it was stored already; nothing was touched
  };

  // Copies the payload of a frame into its blocks and checks it on the way. DATA_LOSS or
  // INVALID_ARGUMENT for a frame that cannot be placed: malformed, of another request, out of
  // order.
  absl::StatusOr<Placed> Place(const std::vector<grpc::Slice>& slices);

  // Every position of every layer that was not stored before is there and intact.
  bool whole() const { return num_missing_ == 0; }
  int64_t bytes() const { return bytes_; }

 private:
  absl::Status CheckIdentity(const KvFrameHeader& header) const;

  const KvPull& pull_;
  const Reservation reservation_;
  std::vector<std::vector<bool>> stored_;  // [layer * 2 + component][position]
  int64_t num_missing_;                    // positions over all layers and components
  int64_t bytes_ = 0;
};

}  // namespace tandem
