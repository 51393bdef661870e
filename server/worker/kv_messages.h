// Messages of the PullKv stream as raw gRPC byte buffers: control in protobuf, KV as frames that
// point into the pool.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/kv/kv_frame.h"
#include "proto/worker.pb.h"

namespace tandem {

// Largest payload of one frame: larger ones moved no more over loopback (docs/performance.md).
constexpr int64_t kMaxFramePayloadBytes = 2 << 20;

// Source -> puller, control: "TKVE" and a KvEvent.
grpc::ByteBuffer EncodeKvEvent(const v1::KvEvent& event);
// Whether a message is one of those, rather than a frame.
bool IsKvEvent(const grpc::ByteBuffer& message);
absl::StatusOr<v1::KvEvent> DecodeKvEvent(const grpc::ByteBuffer& message);

// Puller -> source.
grpc::ByteBuffer EncodePullKvRequest(const v1::PullKvRequest& request);
absl::StatusOr<v1::PullKvRequest> DecodePullKvRequest(const grpc::ByteBuffer& message);

// A frame whose payload stays where it is: `runs` must be mapped until gRPC has sent the message.
// What is overwritten meanwhile is found by the checksum. Many short runs (heads that lie on
// several ranks) are copied together instead.
grpc::ByteBuffer EncodeKvFrame(const KvFrameHeader& header,
                               absl::Span<const absl::Span<const uint8_t>> runs);

// The slices of a message as spans; valid as long as `slices`.
std::vector<grpc::Slice> DumpSlices(const grpc::ByteBuffer& message);

// Channels and servers that carry KV: large frames and reads, a bounded message size. Each channel
// has a connection of its own.
std::shared_ptr<grpc::Channel> CreateKvChannel(const std::string& address);
void SetKvServerArguments(grpc::ServerBuilder& builder);

// From now on malloc keeps the memory of frames that are through for the next ones. By default it
// goes back to the system, which has to clear new pages for each: 40% of a pull's time. Of the
// whole process; once, at its start.
void KeepFreedFrames();
constexpr int kMaxKvMessageBytes = 16 << 20;

}  // namespace tandem
