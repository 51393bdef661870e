// From the tensors of a file to the structs that Forward() reads: finds each tensor by its name,
// checks shape and type against the configuration, and leaves nothing over.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "engine/weights/architectures.h"
#include "engine/weights/model_weights.h"
#include "engine/weights/stored_tensor.h"

namespace tandem {

struct WeightSource {
  std::string file;  // for messages about a tensor that is in no file
  const TensorDirectory* tensors = nullptr;
  const TensorNames* names = nullptr;
  HfPrefix prefix = {};
  float norm_offset = 0;  // added to every norm weight
};

// Fills model->weights as model->config asks. Matrices stay in the mapped file, except one that is
// not aligned to its elements: it is copied into model->storage. INVALID_ARGUMENT names file,
// tensor, and what was expected and found; UNIMPLEMENTED a type that kernels do not read, or a
// tensor that the architecture has no place for (ignoring it would change the model's answers).
absl::Status BindWeights(const WeightSource& source, Model* model);

}  // namespace tandem
