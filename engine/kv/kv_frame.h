// The unit in which KV travels: a fixed header that says whose and which KV it is, then the bytes.
//
// Header, little-endian, 64 bytes:
//   0 magic "TKVF"   4 header size   8 request id (8 bytes)   16 epoch of the sender (8)
//   24 attempt   28 layout version   32 layer   36 component (1), dtype (1), zero (2)
//   40 token begin   44 token end   48 head begin (2), head end (2)   52 zero
//   56 payload size   60 CRC32C of header (with this field zero) and payload
// Payload: [token][head][head_dim] of the named ranges, in the named dtype. Frames name tokens and
// heads, not blocks, so the receiver places them into blocks of its own size.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/core/kv_layout.h"
#include "engine/kv/kv_cache.h"

namespace tandem {

struct KvFrameHeader {
  static constexpr size_t kBytes = 64;

  uint64_t request_id = 0;
  uint64_t epoch = 0;
  uint32_t attempt = 0;
  uint32_t layer = 0;
  KvComponent component = KvComponent::kKeys;
  DType dtype = DType::kF16;
  uint32_t token_begin = 0;
  uint32_t token_end = 0;
  uint16_t head_begin = 0;
  uint16_t head_end = 0;

  // INVALID_ARGUMENT names the first field that does not lie within `layout` and a sequence of
  // `num_tokens`.
  absl::Status CheckFits(const KvLayout& layout, uint32_t num_tokens) const;

  // Of what CheckFits accepted.
  int64_t PayloadBytes(const KvLayout& layout) const;
};

// The kBytes that stand before `payload`, whose runs are sent in order.
std::string EncodeKvFrameHeader(const KvFrameHeader& header,
                                absl::Span<const absl::Span<const uint8_t>> payload);

// A frame as it comes in, piece by piece: parse the header, feed the payload, ask whether it is
// intact.
class KvFrameReader {
 public:
  // `bytes`: the first kBytes of the message. DATA_LOSS names what makes it no frame of this
  // version.
  static absl::StatusOr<KvFrameReader> Parse(absl::Span<const uint8_t> bytes);

  const KvFrameHeader& header() const { return header_; }
  uint32_t payload_bytes() const { return payload_bytes_; }

  // The next bytes of the payload.
  void Feed(absl::Span<const uint8_t> bytes);

  // After the whole payload: header and payload are as they were sent.
  bool Intact() const { return crc_ == expected_crc_; }

 private:
  KvFrameReader() = default;

  KvFrameHeader header_;
  uint32_t payload_bytes_ = 0;
  uint32_t crc_ = 0;
  uint32_t expected_crc_ = 0;
};

}  // namespace tandem
