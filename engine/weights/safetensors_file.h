// Reader of safetensors files: a length, a JSON directory, then the data. One file, or the shards
// that a `model.safetensors.index.json` lists.
// Format: https://huggingface.co/docs/safetensors
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/weights/mapped_file.h"
#include "engine/weights/stored_tensor.h"

namespace tandem {

// Tensors point into the maps. Element types that no model here is read from (such as I64) stay in
// the directory, without a dtype: checkpoints carry them as harmless buffers.
struct SafetensorsModel {
  TensorDirectory tensors;
  std::vector<std::shared_ptr<const MappedFile>> maps;
};

// INVALID_ARGUMENT names file, tensor and reason for whatever contradicts the format.
absl::StatusOr<SafetensorsModel> OpenSafetensors(const std::string& path);

// Opens every shard that the index at `index_path` names, in the index's own folder. The index
// decides which shard a tensor is read from. INVALID_ARGUMENT for a shard name that is not a plain
// file name, or a tensor that its shard lacks; NOT_FOUND for a missing shard.
absl::StatusOr<SafetensorsModel> OpenShardedSafetensors(const std::string& index_path);

}  // namespace tandem
