// Between the worker's protobuf messages and the engine's plain structs.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/core/batch.h"
#include "engine/core/kv_layout.h"
#include "engine/core/request.h"
#include "proto/worker.pb.h"
#include "scheduler/instance_view.h"

namespace tandem {

// INVALID_ARGUMENT names the field. Token ids and sampling parameters are checked against the
// vocabulary.
absl::StatusOr<Request> FromProto(const v1::EngineRequest& message, int vocab_size);
absl::StatusOr<KvLayout> FromProto(const v1::KvLayoutInfo& message);

v1::KvLayoutInfo ToProto(const KvLayout& layout);
v1::SampledToken ToProto(const SampledToken& token);
v1::PromptLogprob ToProto(const PromptLogprob& logprob);
v1::FinishReason ToProto(FinishReason reason);
v1::StepLatency ToProto(const StepLatency& latency);

}  // namespace tandem
