#include "engine/kernels/cpu/cpu_features.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tandem {
namespace {

struct Features {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, DQ, VL and VNNI
};

#if defined(__x86_64__)

// Register files that the system saves on a context switch (XCR0).
uint64_t SavedState() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

Features Detect() {
  // Bits as in the Intel SDM, volume 2A, CPUID.
  constexpr uint32_t kFma = 1u << 12, kOsXsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr uint32_t kAvx2 = 1u << 5;
  constexpr uint32_t kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr uint32_t kVnni = 1u << 11;
  constexpr uint64_t kYmmState = 0x06, kZmmState = 0xe6;

  Features features;
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return features;
  constexpr uint32_t kNeeded = kFma | kOsXsave | kAvx | kF16c;
  if ((ecx & kNeeded) != kNeeded) return features;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return features;
  const uint64_t saved = SavedState();
  features.avx2 = (ebx & kAvx2) && (saved & kYmmState) == kYmmState;
  features.avx512 = features.avx2 && (ebx & kAvx512) == kAvx512 && (ecx & kVnni) &&
                    (saved & kZmmState) == kZmmState;
  return features;
}

#else

Features Detect() { return {}; }

#endif

}  // namespace

bool CpuHas(Isa isa) {
  static const Features features = Detect();
  switch (isa) {
    case Isa::kAvx512:
      return features.avx512 && Avx512Kernels() != nullptr;
    case Isa::kAvx2:
      return features.avx2 && Avx2Kernels() != nullptr;
    case Isa::kPortable:
      return true;
    case Isa::kAuto:
      return false;
  }
  return false;
}

Isa BestIsa() {
  if (CpuHas(Isa::kAvx512)) return Isa::kAvx512;
  if (CpuHas(Isa::kAvx2)) return Isa::kAvx2;
  return Isa::kPortable;
}

absl::StatusOr<Isa> ChooseIsa(Isa wanted) {
  const Isa isa = wanted == Isa::kAuto ? BestIsa() : wanted;
  if (CpuHas(isa)) return isa;
  return absl::FailedPreconditionError(
      absl::StrCat("this CPU cannot run ", IsaName(isa), " kernels; available: ", AvailableIsas()));
}

std::string AvailableIsas() {
  std::string names(IsaName(Isa::kPortable));
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (CpuHas(isa)) absl::StrAppend(&names, ", ", IsaName(isa));
  }
  return names;
}

}  // namespace tandem
