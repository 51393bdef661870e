#include "engine/kernels/cpu/kernels.h"
#include "engine/kernels/cpu/vector_portable.h"

namespace tandem {

const KernelTable* PortableKernels() {
  static constexpr KernelTable kTable = MakeKernelTable<PortableVector>();
  return &kTable;
}

}  // namespace tandem
