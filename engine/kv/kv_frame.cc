#include "engine/kv/kv_frame.h"

#include <isa-l/crc.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {
namespace {

constexpr uint32_t kCrcBegin = ~0u;  // inverted before and after, as CRC32C is defined

static_assert(static_cast<int>(DType::kF32) == 0 && static_cast<int>(DType::kF16) == 1 &&
                  static_cast<int>(DType::kBF16) == 2 && static_cast<int>(DType::kI8) == 11,
              "these numbers are on the wire");

uint32_t ExtendCrc(uint32_t crc, const uint8_t* data, size_t size) {
  // ISA-L counts in int and does not write to what it takes as non-const.
  constexpr size_t kMost = size_t{1} << 30;
  for (size_t done = 0; done < size; done += kMost) {
    crc = crc32_iscsi(const_cast<uint8_t*>(data) + done,
                      static_cast<int>(std::min(kMost, size - done)), crc);
  }
  return crc;
}

// memcpy to where nobody reads soon: it does not first read what it overwrites, nor does it drive
// other things out of the caches. FinishCopies orders what comes after behind it.
void CopyPastCaches(const uint8_t* from, size_t size, uint8_t* to) {
#ifdef __SSE2__
  constexpr size_t kLine = 64;
  const size_t head = std::min(size, -reinterpret_cast<uintptr_t>(to) % kLine);
  std::memcpy(to, from, head);
  const size_t end = head + (size - head) / kLine * kLine;
  for (size_t i = head; i < end; i += kLine) {
    __m128i parts[4];
    std::memcpy(parts, from + i, kLine);
    auto* line = reinterpret_cast<__m128i*>(to + i);
    for (int part = 0; part < 4; ++part) _mm_stream_si128(line + part, parts[part]);
  }
  std::memcpy(to + end, from + end, size - end);
#else
  std::memcpy(to, from, size);
#endif
}

void FinishCopies() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

template <typename T>
void Put(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

template <typename T>
T Take(const uint8_t** p) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{*(*p)++} << (8 * i);
  return static_cast<T>(value);
}

std::string EncodeFields(const KvFrameHeader& header) {
  std::string out(KvFrameHeader::kMagic);
  out.reserve(KvFrameHeader::kBytes);
  Put(static_cast<uint16_t>(KvFrameHeader::kBytes), &out);
  Put(static_cast<uint8_t>(header.kind), &out);
  Put(static_cast<uint8_t>(header.component), &out);
  Put(header.request_id, &out);
  Put(header.epoch, &out);
  Put(header.attempt, &out);
  Put(header.layout_version, &out);
  Put(header.layer, &out);
  Put(static_cast<uint32_t>(header.dtype), &out);
  Put(header.token_begin, &out);
  Put(header.token_end, &out);
  Put(header.head_begin, &out);
  Put(header.head_end, &out);
  Put(header.payload_bytes, &out);
  Put(header.crc32c, &out);
  CHECK(out.size() == KvFrameHeader::kBytes);
  return out;
}

// The running CRC after the header.
uint32_t HeaderCrc(KvFrameHeader header) {
  header.crc32c = 0;
  const std::string bytes = EncodeFields(header);
  return ExtendCrc(kCrcBegin, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

template <typename Byte>
std::vector<absl::Span<Byte>> SelectHeadsOf(const KvLayout& layout,
                                            absl::Span<const absl::Span<Byte>> runs, int head_begin,
                                            int head_end) {
  CHECK(head_begin >= 0 && head_begin <= head_end && head_end <= layout.num_kv_heads)
      << "heads [" << head_begin << ", " << head_end << ") of " << layout.num_kv_heads;
  if (head_begin == 0 && head_end == layout.num_kv_heads) return {runs.begin(), runs.end()};
  const size_t token_bytes = layout.TokenBytes();
  const size_t head_bytes = layout.HeadBytes();
  std::vector<absl::Span<Byte>> selected;
  for (const absl::Span<Byte> run : runs) {
    for (size_t token = 0; token < run.size(); token += token_bytes) {
      selected.push_back(
          run.subspan(token + head_begin * head_bytes, (head_end - head_begin) * head_bytes));
    }
  }
  return selected;
}

}  // namespace

absl::Status KvFrameHeader::CheckFits(const KvLayout& layout, int num_tokens) const {
  const auto misfit = [](absl::string_view field, auto value, auto expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV frame does not fit: ", field, " is ", value, ", expected ", expected));
  };
  const auto range = [](uint32_t begin, uint32_t end) {
    return absl::StrCat("[", begin, ", ", end, ")");
  };
  if (layout_version != KvLayout::kVersion) {
    return misfit("layout_version", layout_version, KvLayout::kVersion);
  }
  if (dtype != layout.dtype) {
    return misfit("dtype", GetDTypeInfo(dtype).name, GetDTypeInfo(layout.dtype).name);
  }
  if (layer >= static_cast<uint32_t>(layout.num_layers)) {
    return misfit("layer", layer, absl::StrCat("less than ", layout.num_layers));
  }
  if (token_begin >= token_end || token_end > static_cast<uint32_t>(num_tokens)) {
    return misfit("token range", range(token_begin, token_end),
                  absl::StrCat("a part of ", num_tokens, " tokens"));
  }
  if (head_begin >= head_end || head_end > static_cast<uint32_t>(layout.num_kv_heads)) {
    return misfit("head range", range(head_begin, head_end),
                  absl::StrCat("a part of ", layout.num_kv_heads, " heads"));
  }
  const uint64_t expected_bytes =
      uint64_t{token_end - token_begin} * (head_end - head_begin) * layout.HeadBytes();
  if (payload_bytes != expected_bytes)
    return misfit("payload_bytes", payload_bytes, expected_bytes);
  return absl::OkStatus();
}

std::string EncodeKvFrameHeader(const KvFrameHeader& header,
                                absl::Span<const absl::Span<const uint8_t>> payload_runs) {
  uint32_t crc = HeaderCrc(header);
  uint64_t bytes = 0;
  for (const absl::Span<const uint8_t> run : payload_runs) {
    crc = ExtendCrc(crc, run.data(), run.size());
    bytes += run.size();
  }
  CHECK(bytes == header.payload_bytes) << bytes << " bytes, header says " << header.payload_bytes;
  KvFrameHeader with_crc = header;
  with_crc.crc32c = ~crc;
  return EncodeFields(with_crc);
}

absl::StatusOr<KvFrameHeader> DecodeKvFrameHeader(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < KvFrameHeader::kBytes) {
    return absl::DataLossError(absl::StrCat("KV frame of ", bytes.size(), " bytes: its header has ",
                                            KvFrameHeader::kBytes));
  }
  const uint8_t* p = bytes.data();
  if (std::memcmp(p, KvFrameHeader::kMagic, 4) != 0) {
    return absl::DataLossError("KV frame does not start with its magic bytes");
  }
  p += 4;
  if (const uint16_t size = Take<uint16_t>(&p); size != KvFrameHeader::kBytes) {
    return absl::DataLossError(
        absl::StrCat("KV frame says its header has ", size, " bytes, not ", KvFrameHeader::kBytes));
  }
  const auto unknown = [](absl::string_view field, uint32_t value) {
    return absl::InvalidArgumentError(absl::StrCat("KV frame has unknown ", field, " ", value));
  };
  KvFrameHeader header;
  header.kind = static_cast<KvFrameKind>(Take<uint8_t>(&p));
  if (header.kind != KvFrameKind::kTokens) {
    return unknown("kind", static_cast<uint32_t>(header.kind));
  }
  header.component = static_cast<KvComponent>(Take<uint8_t>(&p));
  if (header.component > KvComponent::kValues) {
    return unknown("component", static_cast<uint32_t>(header.component));
  }
  header.request_id = Take<uint64_t>(&p);
  header.epoch = Take<uint64_t>(&p);
  header.attempt = Take<uint32_t>(&p);
  header.layout_version = Take<uint32_t>(&p);
  header.layer = Take<uint32_t>(&p);
  const uint32_t dtype = Take<uint32_t>(&p);
  header.dtype = static_cast<DType>(dtype);
  if (dtype > static_cast<uint32_t>(DType::kI8) || !IsKvDType(header.dtype)) {
    return unknown("dtype", dtype);
  }
  header.token_begin = Take<uint32_t>(&p);
  header.token_end = Take<uint32_t>(&p);
  header.head_begin = Take<uint32_t>(&p);
  header.head_end = Take<uint32_t>(&p);
  header.payload_bytes = Take<uint64_t>(&p);
  header.crc32c = Take<uint32_t>(&p);
  return header;
}

KvFrameReader::KvFrameReader(const KvFrameHeader& header,
                             std::vector<absl::Span<uint8_t>> destination)
    : header_(header), destination_(std::move(destination)), crc_(HeaderCrc(header)) {
  uint64_t bytes = 0;
  for (const absl::Span<uint8_t> run : destination_) bytes += run.size();
  CHECK(bytes == header.payload_bytes) << bytes << " bytes, header says " << header.payload_bytes;
}

absl::Status KvFrameReader::Append(absl::Span<const uint8_t> slice) {
  if (slice.size() > header_.payload_bytes - received_) {
    return absl::DataLossError(absl::StrCat("KV frame has more than the ", header_.payload_bytes,
                                            " payload bytes that its header says"));
  }
  received_ += slice.size();
  // In pieces that stay in L1 between the copy and the CRC.
  constexpr size_t kPiece = 4 * 1024;
  while (!slice.empty()) {
    const absl::Span<uint8_t> run = destination_[run_];
    const size_t size = std::min({slice.size(), run.size() - run_offset_, kPiece});
    CopyPastCaches(slice.data(), size, run.data() + run_offset_);
    crc_ = ExtendCrc(crc_, slice.data(), size);
    slice.remove_prefix(size);
    run_offset_ += size;
    if (run_offset_ == run.size()) {
      ++run_;
      run_offset_ = 0;
    }
  }
  FinishCopies();
  return absl::OkStatus();
}

absl::Status KvFrameReader::Finish() const {
  if (received_ != header_.payload_bytes) {
    return absl::DataLossError(absl::StrCat("KV frame ends after ", received_, " of ",
                                            header_.payload_bytes, " payload bytes"));
  }
  if (~crc_ != header_.crc32c) {
    return absl::DataLossError(absl::StrCat("KV frame of request ", header_.request_id, ", layer ",
                                            header_.layer, " fails its CRC"));
  }
  return absl::OkStatus();
}

std::vector<absl::Span<const uint8_t>> SelectHeads(const KvLayout& layout,
                                                   absl::Span<const absl::Span<const uint8_t>> runs,
                                                   int head_begin, int head_end) {
  return SelectHeadsOf<const uint8_t>(layout, runs, head_begin, head_end);
}

std::vector<absl::Span<uint8_t>> SelectHeads(const KvLayout& layout,
                                             absl::Span<const absl::Span<uint8_t>> runs,
                                             int head_begin, int head_end) {
  return SelectHeadsOf<uint8_t>(layout, runs, head_begin, head_end);
}

}  // namespace tandem
