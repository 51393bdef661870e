// The unit of the KV stream between workers: the K or the V of a range of tokens and heads in one
// layer. A frame is a fixed little-endian header and a payload [token][head], stored
// as KvHeadBytes describes. It names
// tokens and heads, not blocks, so the receiver places it into blocks of its own size.
//
//   Sender:   runs = SelectHeads(cache.Read(...), ...);
//             send EncodeKvFrameHeader(header, runs), then the runs
//   Receiver: header = DecodeKvFrameHeader(bytes);  header.CheckFits(layout, num_tokens);
//             reader(header, SelectHeads(cache.Write(...), ...));
//             reader.Append(slice)...;  reader.Finish()
//
// Only Finish tells whether the frame is sound: until then neither the header's identity nor the
// bytes in the cache may be relied on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/kv_layout.h"
#include "engine/kv/kv_cache.h"

namespace tandem {

enum class KvFrameKind : uint8_t { kTokens = 1 };

// On the wire, little-endian:
//
// offset  bytes  field             offset  bytes  field
//      0      4  magic "TKVF"          36      4  dtype: 0 F32, 1 F16, 2 BF16
//      4      2  header bytes          40      4  token_begin
//      6      1  kind                  44      4  token_end
//      7      1  component             48      4  head_begin
//      8      8  request_id            52      4  head_end
//     16      8  epoch                 56      8  payload_bytes
//     24      4  attempt               64      4  crc32c of the header (this field 0) and the
//     28      4  layout_version                   payload
//     32      4  layer
struct KvFrameHeader {
  static constexpr size_t kBytes = 68;
  static constexpr char kMagic[5] = "TKVF";

  KvFrameKind kind = KvFrameKind::kTokens;
  KvComponent component = KvComponent::kKeys;
  uint64_t request_id = 0;
  uint32_t attempt = 0;
  uint64_t epoch = 0;  // of the sender
  uint32_t layout_version = KvLayout::kVersion;
  DType dtype = DType::kF16;
  uint32_t layer = 0;
  uint32_t token_begin = 0;
  uint32_t token_end = 0;
  uint32_t head_begin = 0;
  uint32_t head_end = 0;
  uint64_t payload_bytes = 0;
  uint32_t crc32c = 0;  // set by EncodeKvFrameHeader

  bool operator==(const KvFrameHeader& other) const = default;

  // INVALID_ARGUMENT naming the first field that does not fit a prompt of `num_tokens` in `layout`:
  // version, dtype, layer, ranges, and a payload of another size than these make.
  absl::Status CheckFits(const KvLayout& layout, int num_tokens) const;
};

// The header's bytes, with the CRC over header and payload. payload_bytes must be the runs' sum.
std::string EncodeKvFrameHeader(const KvFrameHeader& header,
                                absl::Span<const absl::Span<const uint8_t>> payload_runs);

// Reads the header at the start of `bytes`. DATA_LOSS when they are too few, or magic or header
// size are wrong; INVALID_ARGUMENT for an unknown kind, component or dtype. The CRC is
// KvFrameReader's business.
absl::StatusOr<KvFrameHeader> DecodeKvFrameHeader(absl::Span<const uint8_t> bytes);

// Copies a payload that arrives in slices to where it belongs, and checks it, in one pass.
class KvFrameReader {
 public:
  // `destination`, in order, must hold header.payload_bytes; it is written as slices arrive.
  KvFrameReader(const KvFrameHeader& header, std::vector<absl::Span<uint8_t>> destination);

  // The next bytes of the payload. DATA_LOSS when there are more than the header says.
  absl::Status Append(absl::Span<const uint8_t> slice);

  // DATA_LOSS when bytes are missing or the CRC differs.
  absl::Status Finish() const;

 private:
  const KvFrameHeader header_;
  const std::vector<absl::Span<uint8_t>> destination_;
  size_t run_ = 0;         // where the next byte goes
  size_t run_offset_ = 0;  // inside destination_[run_]
  uint64_t received_ = 0;
  uint32_t crc_;
};

// Heads [head_begin, head_end) out of runs of whole tokens, as KvCache::Read and Write return them.
std::vector<absl::Span<const uint8_t>> SelectHeads(const KvLayout& layout,
                                                   absl::Span<const absl::Span<const uint8_t>> runs,
                                                   int head_begin, int head_end);
std::vector<absl::Span<uint8_t>> SelectHeads(const KvLayout& layout,
                                             absl::Span<const absl::Span<uint8_t>> runs,
                                             int head_begin, int head_end);

}  // namespace tandem
