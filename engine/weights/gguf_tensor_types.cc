#include "engine/weights/gguf_tensor_types.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_join.h"
#include "engine/core/log.h"

namespace tandem {
namespace {

constexpr GgufTensorType kTensorTypes[] = {
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", {}},
    {11, "Q3_K", {}},
    {12, "Q4_K", DType::kQ4_K},
    {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", {}},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", {}},
    {24, "I8", {}},
    {25, "I16", {}},
    {26, "I32", {}},
    {27, "I64", {}},
    {28, "F64", {}},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
    {40, "NVFP4", {}},
};

template <typename Predicate>
const GgufTensorType* Find(Predicate predicate) {
  const auto* type = std::find_if(std::begin(kTensorTypes), std::end(kTensorTypes), predicate);
  return type == std::end(kTensorTypes) ? nullptr : type;
}

}  // namespace

const GgufTensorType* FindGgufTensorType(uint32_t id) {
  return Find([id](const GgufTensorType& type) { return type.id == id; });
}

uint32_t GgufTensorTypeId(DType dtype) {
  const GgufTensorType* type =
      Find([dtype](const GgufTensorType& candidate) { return candidate.dtype == dtype; });
  CHECK(type != nullptr) << GetDTypeInfo(dtype).name;
  return type->id;
}

std::string SupportedGgufTensorTypes() {
  std::vector<absl::string_view> names;
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.dtype) names.push_back(type.name);
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace tandem
