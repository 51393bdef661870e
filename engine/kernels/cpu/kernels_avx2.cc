// Compiled with the instruction set's flags (root CMakeLists.txt) on x86-64 only.
#include "engine/kernels/cpu/kernels.h"
#include "engine/kernels/cpu/vector_avx2.h"

namespace tandem {

const KernelTable* Avx2Kernels() {
#if defined(__AVX2__)
  static constexpr KernelTable kTable = MakeKernelTable<Avx2Vector>();
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tandem
