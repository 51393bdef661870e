#include "engine/core/dtype.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// Sizes from the GGUF format's block structs: a 16-bit scale (and minimum) per 32 elements, K types
// per 256.
constexpr std::array<DTypeInfo, 12> kInfos = {{
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"Q4_0", 32, 2 + 16},
    {"Q4_1", 32, 4 + 16},
    {"Q5_0", 32, 2 + 4 + 16},
    {"Q5_1", 32, 4 + 4 + 16},
    {"Q8_0", 32, 2 + 32},
    {"Q4_K", 256, 4 + 12 + 128},
    {"Q5_K", 256, 4 + 12 + 32 + 128},
    {"Q6_K", 256, 128 + 64 + 16 + 2},
    {"INT8", 1, 1},
}};

}  // namespace

const DTypeInfo& GetDTypeInfo(DType dtype) { return kInfos[static_cast<size_t>(dtype)]; }

absl::StatusOr<DType> ParseDType(absl::string_view name) {
  for (size_t i = 0; i < kInfos.size(); ++i) {
    if (absl::EqualsIgnoreCase(name, kInfos[i].name)) return static_cast<DType>(i);
  }
  struct Alias {
    absl::string_view name;
    DType dtype;
  };
  constexpr Alias kAliases[] = {
      {"float32", DType::kF32}, {"fp32", DType::kF32},      {"float16", DType::kF16},
      {"fp16", DType::kF16},    {"bfloat16", DType::kBF16},
  };
  for (const Alias& alias : kAliases) {
    if (absl::EqualsIgnoreCase(name, alias.name)) return alias.dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown data type \"", name, "\""));
}

}  // namespace tandem
