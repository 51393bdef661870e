// Between the proto messages of workers and clients and the plain structs of engine/core.
#pragma once

#include "engine/core/batch.h"
#include "engine/core/sampling_params.h"
#include "proto/common.pb.h"

namespace tandem {

v1::SamplingParams ToProto(const SamplingParams& params);

// Absent fields keep the defaults of the struct. Ids above 2^31 - 1 become negative, which
// SamplingParams::Validate refuses.
SamplingParams FromProto(const v1::SamplingParams& params);
SampledToken FromProto(const v1::SampledToken& token);
PromptLogprob FromProto(const v1::PromptLogprob& logprob);

}  // namespace tandem
