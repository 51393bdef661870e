#include "server/worker/kv_receipt.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/kv/kv_frame.h"
#include "server/worker/kv_puller.h"

namespace tandem {
namespace {

// Small enough that a piece is still in the L2 cache when it is read a second time.
constexpr size_t kPieceBytes = 64 << 10;

// Bytes of a message that lies in several slices, handed out in pieces of at most kPieceBytes.
class SliceReader {
 public:
  explicit SliceReader(const std::vector<grpc::Slice>& slices) : slices_(slices) {}

  // Copies up to `size` bytes; returns how many there were.
  size_t Copy(uint8_t* to, size_t size) {
    size_t copied = 0;
    while (copied < size) {
      const absl::Span<const uint8_t> piece = Next(size - copied);
      if (piece.empty()) break;
      std::memcpy(to + copied, piece.data(), piece.size());
      copied += piece.size();
    }
    return copied;
  }

  // The next at most `size` contiguous bytes; empty at the end.
  absl::Span<const uint8_t> Next(size_t size) {
    while (index_ < slices_.size() && offset_ == slices_[index_].size()) {
      ++index_;
      offset_ = 0;
    }
    if (index_ == slices_.size()) return {};
    const grpc::Slice& slice = slices_[index_];
    const size_t count = std::min({size, slice.size() - offset_, kPieceBytes});
    const absl::Span<const uint8_t> piece(slice.begin() + offset_, count);
    offset_ += count;
    return piece;
  }

 private:
  const std::vector<grpc::Slice>& slices_;
  size_t index_ = 0;
  size_t offset_ = 0;
};

}  // namespace

KvReceipt::KvReceipt(const KvPull& pull, std::vector<BlockId> block_table, int num_tokens)
    : pull_(pull), block_table_(std::move(block_table)), num_tokens_(num_tokens) {
  const int num_ranges = 2 * pull.cache->layout().num_layers;
  stored_.assign(num_ranges, std::vector<bool>(num_tokens, false));
  num_missing_ = int64_t{num_ranges} * num_tokens;
}

absl::StatusOr<KvReceipt::Placed> KvReceipt::Place(const std::vector<grpc::Slice>& slices) {
  SliceReader bytes(slices);
  uint8_t header_bytes[KvFrameHeader::kBytes];
  const size_t header_size = bytes.Copy(header_bytes, sizeof(header_bytes));
  ASSIGN_OR_RETURN(KvFrameReader frame, KvFrameReader::Parse({header_bytes, header_size}));
  const KvFrameHeader& header = frame.header();
  const KvLayout& layout = pull_.cache->layout();
  RETURN_IF_ERROR(CheckIdentity(header));
  RETURN_IF_ERROR(header.CheckFits(layout, num_tokens_));
  if (header.head_end - header.head_begin != layout.num_kv_heads) {
    return absl::InvalidArgumentError("a KV frame with only some of the heads");
  }
  const int64_t payload_bytes = header.PayloadBytes(layout);
  size_t message_bytes = 0;
  for (const grpc::Slice& slice : slices) message_bytes += slice.size();
  if (frame.payload_bytes() != payload_bytes ||
      message_bytes != KvFrameHeader::kBytes + payload_bytes) {
    return absl::DataLossError(absl::StrCat("a KV frame of ", message_bytes, " bytes, expected ",
                                            KvFrameHeader::kBytes + payload_bytes));
  }

  Placed placed{.layer = static_cast<int>(header.layer),
                .component = header.component,
                .token_begin = static_cast<int>(header.token_begin),
                .token_end = static_cast<int>(header.token_end),
                .bytes = payload_bytes};
  std::vector<bool>& stored = stored_[2 * placed.layer + static_cast<int>(placed.component)];
  const auto begin = stored.begin() + placed.token_begin, end = stored.begin() + placed.token_end;
  const int64_t num_stored = std::count(begin, end, true);
  // What is stored was verified: neither a second copy nor a damaged one may touch it.
  if (num_stored == end - begin) {
    placed.intact = true;
    return placed;
  }
  if (num_stored > 0) return absl::InvalidArgumentError("a KV frame that overlaps an earlier one");

  for (absl::Span<uint8_t> run : pull_.cache->Write(placed.layer, placed.component, block_table_,
                                                    placed.token_begin, placed.token_end)) {
    while (!run.empty()) {
      const absl::Span<const uint8_t> piece = bytes.Next(run.size());
      frame.Feed(piece);
      std::memcpy(run.data(), piece.data(), piece.size());
      run.remove_prefix(piece.size());
    }
  }
  placed.intact = frame.Intact();
  if (placed.intact) {
    std::fill(begin, end, true);
    num_missing_ -= end - begin;
    bytes_ += payload_bytes;
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
