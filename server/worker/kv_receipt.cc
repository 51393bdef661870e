#include "server/worker/kv_receipt.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/kv/kv_frame.h"
#include "server/worker/kv_puller.h"

namespace tandem {
namespace {

// The first kBytes of a message, in however many slices they lie.
std::string HeaderBytes(const std::vector<grpc::Slice>& slices) {
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    const size_t missing = KvFrameHeader::kBytes - bytes.size();
    bytes.append(reinterpret_cast<const char*>(slice.begin()), std::min(missing, slice.size()));
  }
  return bytes;
}

// Feeds `frame` what stands behind the header.
absl::Status AppendPayload(const std::vector<grpc::Slice>& slices, KvFrameReader& frame) {
  size_t to_skip = KvFrameHeader::kBytes;
  for (const grpc::Slice& slice : slices) {
    const size_t skipped = std::min(to_skip, slice.size());
    to_skip -= skipped;
    RETURN_IF_ERROR(frame.Append({slice.begin() + skipped, slice.size() - skipped}));
  }
  return absl::OkStatus();
}

}  // namespace

KvReceipt::KvReceipt(const KvPull& pull, Reservation reservation)
    : pull_(pull), reservation_(std::move(reservation)) {
  const int num_ranges = 2 * pull.cache->layout().num_layers;
  std::vector<bool> stored(reservation_.token_end, false);
  std::fill(stored.begin(), stored.begin() + reservation_.token_begin, true);
  stored_.assign(num_ranges, stored);
  num_missing_ = int64_t{num_ranges} * (reservation_.token_end - reservation_.token_begin);
}

absl::StatusOr<KvReceipt::Placed> KvReceipt::Place(const std::vector<grpc::Slice>& slices) {
  const std::string bytes = HeaderBytes(slices);
  ASSIGN_OR_RETURN(
      const KvFrameHeader header,
      DecodeKvFrameHeader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  const KvLayout& layout = pull_.cache->layout();
  RETURN_IF_ERROR(CheckIdentity(header));
  RETURN_IF_ERROR(header.CheckFits(layout, reservation_.token_end));
  if (header.head_end - header.head_begin != static_cast<uint32_t>(layout.num_kv_heads)) {
    return absl::InvalidArgumentError("a KV frame with only some of the heads");
  }

  Placed placed{.layer = static_cast<int>(header.layer),
                .component = header.component,
                .token_begin = static_cast<int>(header.token_begin),
                .token_end = static_cast<int>(header.token_end),
                .bytes = static_cast<int64_t>(header.payload_bytes)};
  std::vector<bool>& stored = stored_[2 * placed.layer + static_cast<int>(placed.component)];
  const auto begin = stored.begin() + placed.token_begin, end = stored.begin() + placed.token_end;
  const int64_t num_stored = std::count(begin, end, true);
  // What is stored was verified: neither a second copy nor a damaged one may touch it.
  if (num_stored == end - begin) {
    placed.intact = true;
    placed.duplicate = true;
    return placed;
  }
  if (num_stored > 0) return absl::InvalidArgumentError("a KV frame that overlaps an earlier one");

  KvFrameReader frame(header,
                      pull_.cache->Write(placed.layer, placed.component, reservation_.block_table,
                                         placed.token_begin, placed.token_end));
  RETURN_IF_ERROR(AppendPayload(slices, frame));
  placed.intact = frame.Finish().ok();
  if (placed.intact) {
    pull_.cache->CopyToReplicas(placed.layer, placed.component, reservation_.block_table,
                                placed.token_begin, placed.token_end);
    std::fill(begin, end, true);
    num_missing_ -= end - begin;
    bytes_ += placed.bytes;
  }
  return placed;
}

absl::Status KvReceipt::CheckIdentity(const KvFrameHeader& header) const {
  const bool ours = header.request_id == pull_.id.value() && header.attempt == pull_.attempt &&
                    header.epoch == pull_.source_epoch;
  if (ours) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("a KV frame of request ", header.request_id, " attempt ",
                                          header.attempt, " epoch ", header.epoch));
}

}  // namespace tandem
