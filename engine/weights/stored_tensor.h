// A tensor as a file stores it, checked by the reader of that file: the common ground of GGUF and
// safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/core/dtype.h"

namespace tandem {

// `data` lies wholly inside the mapped file, `bytes` is what shape and type come to, and tensors
// of one file do not overlap. Valid as long as the file's map.
struct StoredTensor {
  absl::string_view file;         // path, for messages
  absl::string_view type_name;    // "Q4_1", "BF16", "I64": as the format spells it
  std::optional<DType> dtype;     // empty: a type that weights are not read from
  std::vector<int64_t> shape;     // outermost dimension first; a row is shape.back() long
  const uint8_t* data = nullptr;  // aligned to 8 bytes in GGUF, to nothing in safetensors
  int64_t bytes = 0;
};

// By name, in a fixed order: the content hash and the choice of the error shown depend on it.
using TensorDirectory = std::map<std::string, StoredTensor, std::less<>>;

}  // namespace tandem
