// Rearranges a model's weights for the kernels that will multiply them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "engine/kernels/ops.h"
#include "engine/weights/model_weights.h"

namespace tandem {

struct PackOptions {
  std::string cache_folder;  // where packed weights are kept for the next start; empty: nowhere
  std::string part;          // which part of the model this is; parts are kept apart
  // Told now and then how many of how many bytes are packed, on the caller's thread.
  std::function<void(int64_t done, int64_t all)> progress;
};

// Packs every matrix that `ops` wants packed, into memory that the model owns, or reads it from the
// cache; embeddings and what is read as it is stored stay where they are. A cache that cannot be
// written is logged and does without. RESOURCE_EXHAUSTED names the bytes that there was no memory
// for.
absl::Status PackModel(Ops& ops, Model& model, const PackOptions& options = {});

}  // namespace tandem
