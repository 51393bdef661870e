#include "server/worker/kv_messages.h"

#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr absl::string_view kEventMagic = "TKVE";

// Below this, handing gRPC a slice costs more than copying it.
constexpr uint64_t kMinSliceBytes = 2048;

// A message is one HTTP/2 frame and few reads.
constexpr int kHttp2FrameBytes = 4 << 20;
constexpr int kReadChunkBytes = 1 << 20;

std::string Flatten(const grpc::ByteBuffer& message) {
  std::string text;
  text.reserve(message.Length());
  for (const grpc::Slice& slice : DumpSlices(message)) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

grpc::ByteBuffer FromString(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

grpc::ByteBuffer EncodeKvEvent(const v1::KvEvent& event) {
  return FromString(absl::StrCat(kEventMagic, event.SerializeAsString()));
}

bool IsKvEvent(const grpc::ByteBuffer& message) {
  absl::string_view magic = kEventMagic;  // what is still to come of it; slices may be short
  for (const grpc::Slice& slice : DumpSlices(message)) {
    const size_t size = std::min(slice.size(), magic.size());
    if (std::memcmp(slice.begin(), magic.data(), size) != 0) return false;
    magic.remove_prefix(size);
    if (magic.empty()) return true;
  }
  return false;
}

absl::StatusOr<v1::KvEvent> DecodeKvEvent(const grpc::ByteBuffer& message) {
  const std::string text = Flatten(message);
  v1::KvEvent event;
  const size_t skip = kEventMagic.size();
  if (text.size() < skip || !event.ParseFromArray(text.data() + skip, text.size() - skip)) {
    return absl::DataLossError(absl::StrCat("malformed KV event of ", text.size(), " bytes"));
  }
  return event;
}

grpc::ByteBuffer EncodePullKvRequest(const v1::PullKvRequest& request) {
  return FromString(request.SerializeAsString());
}

absl::StatusOr<v1::PullKvRequest> DecodePullKvRequest(const grpc::ByteBuffer& message) {
  v1::PullKvRequest request;
  if (!request.ParseFromString(Flatten(message))) {
    return absl::InvalidArgumentError(
        absl::StrCat("malformed PullKvRequest of ", message.Length(), " bytes"));
  }
  return request;
}

grpc::ByteBuffer EncodeKvFrame(const KvFrameHeader& header,
                               absl::Span<const absl::Span<const uint8_t>> runs) {
  std::vector<grpc::Slice> slices;
  slices.reserve(runs.size() + 1);
  slices.emplace_back(EncodeKvFrameHeader(header, runs));
  if (runs.size() > 1 && header.payload_bytes < runs.size() * kMinSliceBytes) {
    grpc::Slice& payload = slices.emplace_back(header.payload_bytes);
    auto* next = const_cast<uint8_t*>(payload.begin());  // ours alone until it is sent
    for (absl::Span<const uint8_t> run : runs) next = std::copy(run.begin(), run.end(), next);
    return grpc::ByteBuffer(slices.data(), slices.size());
  }
  for (absl::Span<const uint8_t> run : runs) {
    slices.emplace_back(run.data(), run.size(), grpc::Slice::STATIC_SLICE);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::vector<grpc::Slice> DumpSlices(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  // Only a compressed message that cannot be expanded fails; it is then seen as empty and refused.
  if (!message.Dump(&slices).ok()) slices.clear();
  return slices;
}

std::shared_ptr<grpc::Channel> CreateKvChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxKvMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxKvMessageBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  arguments.SetInt(GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadChunkBytes);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetKvServerArguments(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxKvMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kReadChunkBytes);
}

void KeepFreedFrames() {
  constexpr int kLargestKept = 8 << 20;
  constexpr int kMostKept = 32 << 20;  // at the end of a heap
  mallopt(M_MMAP_THRESHOLD, kLargestKept);
  mallopt(M_TRIM_THRESHOLD, kMostKept);
}

}  // namespace tandem
