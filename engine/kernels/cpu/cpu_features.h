// What the CPU and the operating system offer: instruction sets whose registers the system saves.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/ops.h"

namespace tandem {

// The kernels for `isa`, which the CPU has; null where this build has none, and for kAuto.
const KernelTable* KernelsOf(Isa isa);

// Whether kernels for `isa` (not kAuto) can run here: the CPU has it and this build contains it.
bool CpuHas(Isa isa);

// The best of those, never kAuto.
Isa BestIsa();

// `wanted`, or the best for kAuto. FAILED_PRECONDITION when the CPU lacks it; the message lists
// what it has.
absl::StatusOr<Isa> ChooseIsa(Isa wanted);

// "portable, avx2, avx512": those that CpuHas.
std::string AvailableIsas();

}  // namespace tandem
