// Compiled with the instruction set's flags (root CMakeLists.txt) on x86-64 only.
#include "engine/kernels/cpu/kernels.h"
#include "engine/kernels/cpu/vector_avx512.h"

namespace tandem {

const KernelTable* Avx512Kernels() {
#if defined(__AVX512F__)
  static constexpr KernelTable kTable = MakeKernelTable<Avx512Vector>();
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tandem
