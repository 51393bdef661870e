#include "engine/kernels/ops.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/kernels/cpu/cpu_features.h"
#include "engine/kernels/cpu/cpu_ops.h"
#include "engine/kernels/thread_pool.h"

namespace tandem {

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAuto:
      return "auto";
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "unknown";
}

absl::StatusOr<Isa> ParseIsa(absl::string_view name) {
  if (name == IsaName(Isa::kAuto)) return Isa::kAuto;
  std::string known(IsaName(Isa::kAuto));
  for (const Isa isa : kIsas) {
    if (name == IsaName(isa)) return isa;
    absl::StrAppend(&known, ", ", IsaName(isa));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown instruction set \"", name, "\"; known: ", known));
}

absl::StatusOr<std::unique_ptr<Ops>> Ops::Create(const OpsOptions& options) {
  ASSIGN_OR_RETURN(const Isa isa, ChooseIsa(options.isa));
  ASSIGN_OR_RETURN(std::unique_ptr<ThreadPool> pool,
                   ThreadPool::Create(options.num_threads, options.cpus));
  return std::make_unique<CpuOps>(isa, *KernelsOf(isa), options.quantize_activations,
                                  std::move(pool));
}

}  // namespace tandem
