// ModelConfig from the metadata of a GGUF file.
#pragma once

#include "absl/status/statusor.h"
#include "engine/core/model_config.h"
#include "engine/weights/architectures.h"
#include "engine/weights/gguf_file.h"

namespace tandem {

// INVALID_ARGUMENT and UNIMPLEMENTED name file, key and value. Looks at the tensor directory for
// what metadata leaves unsaid (vocabulary size, tied head, biases) and reads one small tensor,
// rope_freqs.weight.
absl::StatusOr<ModelConfig> ReadGgufConfig(const GgufFile& file);

}  // namespace tandem
