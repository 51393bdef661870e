// Compiled with the instruction set's flags (root CMakeLists.txt) on x86-64 only.
#include "engine/kernels/cpu/bfloat16_matmul.h"
#include "engine/kernels/cpu/vector_avx512_bf16.h"

namespace tandem {

// Everything else is the AVX-512 build's own: templates over its vector type that were compiled
// with these flags too could run where BF16 is missing.
const KernelTable* Avx512Bf16Kernels() {
#if defined(__AVX512BF16__)
  static const KernelTable kTable = [] {
    KernelTable table = *Avx512Kernels();
    table.bfloat16_matmul = BFloat16MatMul<Avx512Bf16Vector>;
    return table;
  }();
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tandem
