// Rearranges a model's weights for the kernels that will multiply them.
#pragma once

#include "engine/kernels/ops.h"
#include "engine/weights/model_weights.h"

namespace tandem {

// Packs every matrix that `ops` wants packed, into memory that the model owns; embeddings and what
// is read as it is stored stay where they are. RESOURCE_EXHAUSTED names the bytes that there was no
// memory for.
absl::Status PackModel(Ops& ops, Model& model);

}  // namespace tandem
