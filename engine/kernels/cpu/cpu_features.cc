#include "engine/kernels/cpu/cpu_features.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tandem {
namespace {

struct Features {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, DQ, VL and VNNI
  bool avx512_bf16 = false;
  bool amx = false;  // with products of INT8 and BF16
};

#if defined(__x86_64__)

// Register files that the system saves on a context switch (XCR0).
uint64_t SavedState() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Linux lets a process use tiles, whose state is 8 KiB a thread, only once it has asked.
bool AskForTiles() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Features Detect() {
  // Bits as in the Intel SDM, volume 2A, CPUID.
  constexpr uint32_t kFma = 1u << 12, kOsXsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr uint32_t kAvx2 = 1u << 5;
  constexpr uint32_t kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr uint32_t kVnni = 1u << 11;
  constexpr uint32_t kAmx = 1u << 22 | 1u << 24 | 1u << 25;  // BF16, TILE, INT8
  constexpr uint32_t kAvx512Bf16 = 1u << 5;
  constexpr uint64_t kYmmState = 0x06, kZmmState = 0xe6, kTileState = 0x60000;

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
  features.amx = features.avx512 && (edx & kAmx) == kAmx && (saved & kTileState) == kTileState &&
                 AskForTiles();
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return features;
  features.avx512_bf16 = features.avx512 && (eax & kAvx512Bf16);
  return features;
}

#else

Features Detect() { return {}; }

#endif

bool HasFeaturesFor(Isa isa) {
  static const Features kFeatures = Detect();
  switch (isa) {
    case Isa::kAuto:
      return false;
    case Isa::kPortable:
      return true;
    case Isa::kAvx2:
      return kFeatures.avx2;
    case Isa::kAvx512:
      return kFeatures.avx512;
    case Isa::kAvx512Bf16:
      return kFeatures.avx512_bf16;
    case Isa::kAmx:
      return kFeatures.amx;
  }
  return false;
}

}  // namespace

const KernelTable* KernelsOf(Isa isa) {
  switch (isa) {
    case Isa::kAuto:
      return nullptr;
    case Isa::kPortable:
      return PortableKernels();
    case Isa::kAvx2:
      return Avx2Kernels();
    case Isa::kAvx512:
      return Avx512Kernels();
    case Isa::kAvx512Bf16:
      return Avx512Bf16Kernels();
    case Isa::kAmx:
      return AmxKernels();
  }
  return nullptr;
}

// Asks for kernels only where the CPU runs them: the function that names them is compiled like
// them.
bool CpuHas(Isa isa) { return HasFeaturesFor(isa) && KernelsOf(isa) != nullptr; }

Isa BestIsa() {
  Isa best = Isa::kPortable;
  for (const Isa isa : kIsas) {
    if (CpuHas(isa)) best = isa;
  }
  return best;
}

std::string AvailableIsas() {
  std::string names;
  for (const Isa isa : kIsas) {
    if (CpuHas(isa)) absl::StrAppend(&names, names.empty() ? "" : ", ", IsaName(isa));
  }
  return names;
}

}  // namespace tandem
