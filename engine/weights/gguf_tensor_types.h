// The numbers and names of ggml's tensor types, those included that weights are not read from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/core/dtype.h"

namespace tandem {

struct GgufTensorType {
  uint32_t id;
  absl::string_view name;
  std::optional<DType> dtype;
};

// Null for a number that ggml does not give.
const GgufTensorType* FindGgufTensorType(uint32_t id);

// The number that files have for `dtype`.
uint32_t GgufTensorTypeId(DType dtype);

// "F32, F16, Q4_0": those that weights are read from.
std::string SupportedGgufTensorTypes();

}  // namespace tandem
