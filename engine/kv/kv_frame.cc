#include "engine/kv/kv_frame.h"

#include <isa-l/crc.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr uint32_t kMagic = 0x46564b54;  // "TKVF"
constexpr uint32_t kCrcSeed = 0xffffffff;
constexpr size_t kCrcOffset = 60;

// CRC32C without its final complement, which both ends leave out.
uint32_t Crc(uint32_t crc, const uint8_t* data, size_t size) {
  // The function only reads; its parameter lacks the const.
  return crc32_iscsi(const_cast<uint8_t*>(data), static_cast<int>(size), crc);
}

template <typename T>
void Store(std::string& bytes, size_t offset, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes[offset + i] = static_cast<char>(value >> (8 * i));
}

template <typename T>
T Load(absl::Span<const uint8_t> bytes, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(T{bytes[offset + i]} << (8 * i));
  return value;
}

}  // namespace

absl::Status KvFrameHeader::CheckFits(const KvLayout& layout, uint32_t num_tokens) const {
  const auto refuse = [](absl::string_view field, auto value, auto limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("KV frame with ", field, " ", value, ", limit ", limit));
  };
  if (layer >= static_cast<uint32_t>(layout.num_layers))
    return refuse("layer", layer, layout.num_layers);
  if (dtype != layout.dtype) {
    return absl::InvalidArgumentError(absl::StrCat("KV frame of ", GetDTypeInfo(dtype).name,
                                                   ", expected ", GetDTypeInfo(layout.dtype).name));
  }
  if (token_end > num_tokens) return refuse("token_end", token_end, num_tokens);
  if (token_begin >= token_end) return refuse("token_begin", token_begin, token_end);
  if (head_end > layout.num_kv_heads) return refuse("head_end", head_end, layout.num_kv_heads);
  if (head_begin >= head_end) return refuse("head_begin", head_begin, head_end);
  return absl::OkStatus();
}

int64_t KvFrameHeader::PayloadBytes(const KvLayout& layout) const {
  const int64_t num_heads = head_end - head_begin;
  return (token_end - token_begin) * DTypeBytes(dtype, num_heads * layout.head_dim);
}

std::string EncodeKvFrameHeader(const KvFrameHeader& header,
                                absl::Span<const absl::Span<const uint8_t>> payload) {
  uint32_t payload_bytes = 0;
  for (absl::Span<const uint8_t> run : payload) payload_bytes += run.size();
  std::string bytes(KvFrameHeader::kBytes, '\0');
  Store<uint32_t>(bytes, 0, kMagic);
  Store<uint32_t>(bytes, 4, KvFrameHeader::kBytes);
  Store<uint64_t>(bytes, 8, header.request_id);
  Store<uint64_t>(bytes, 16, header.epoch);
  Store<uint32_t>(bytes, 24, header.attempt);
  Store<uint32_t>(bytes, 28, KvLayout::kVersion);
  Store<uint32_t>(bytes, 32, header.layer);
  Store<uint8_t>(bytes, 36, static_cast<uint8_t>(header.component));
  Store<uint8_t>(bytes, 37, static_cast<uint8_t>(header.dtype));
  Store<uint32_t>(bytes, 40, header.token_begin);
  Store<uint32_t>(bytes, 44, header.token_end);
  Store<uint16_t>(bytes, 48, header.head_begin);
  Store<uint16_t>(bytes, 50, header.head_end);
  Store<uint32_t>(bytes, 56, payload_bytes);
  uint32_t crc = Crc(kCrcSeed, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  for (absl::Span<const uint8_t> run : payload) crc = Crc(crc, run.data(), run.size());
  Store<uint32_t>(bytes, kCrcOffset, crc);
  return bytes;
}

absl::StatusOr<KvFrameReader> KvFrameReader::Parse(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < KvFrameHeader::kBytes) {
    return absl::DataLossError(absl::StrCat("a KV frame of ", bytes.size(), " bytes"));
  }
  const auto expect = [&bytes](absl::string_view field, size_t offset, uint32_t expected) {
    const uint32_t found = Load<uint32_t>(bytes, offset);
    if (found == expected) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat("KV frame with ", field, " ", found, ", expected ", expected));
  };
  absl::Status status = expect("magic", 0, kMagic);
  status.Update(expect("header size", 4, KvFrameHeader::kBytes));
  status.Update(expect("layout version", 28, KvLayout::kVersion));
  if (!status.ok()) return status;
  const uint8_t component = bytes[36];
  const uint8_t dtype = bytes[37];
  if (component > 1 || dtype > static_cast<uint8_t>(DType::kBF16)) {
    return absl::DataLossError(
        absl::StrCat("KV frame with component ", component, " and dtype ", dtype));
  }
  KvFrameReader reader;
  reader.header_ = {.request_id = Load<uint64_t>(bytes, 8),
                    .epoch = Load<uint64_t>(bytes, 16),
                    .attempt = Load<uint32_t>(bytes, 24),
                    .layer = Load<uint32_t>(bytes, 32),
                    .component = static_cast<KvComponent>(component),
                    .dtype = static_cast<DType>(dtype),
                    .token_begin = Load<uint32_t>(bytes, 40),
                    .token_end = Load<uint32_t>(bytes, 44),
                    .head_begin = Load<uint16_t>(bytes, 48),
                    .head_end = Load<uint16_t>(bytes, 50)};
  reader.payload_bytes_ = Load<uint32_t>(bytes, 56);
  reader.expected_crc_ = Load<uint32_t>(bytes, kCrcOffset);
  uint8_t unsigned_header[KvFrameHeader::kBytes] = {};
  std::memcpy(unsigned_header, bytes.data(), kCrcOffset);
  reader.crc_ = Crc(kCrcSeed, unsigned_header, sizeof(unsigned_header));
  return reader;
}

void KvFrameReader::Feed(absl::Span<const uint8_t> bytes) {
  crc_ = Crc(crc_, bytes.data(), bytes.size());
}

}  // namespace tandem
