// Compiled with the flags of AVX-512 (root CMakeLists.txt) on x86-64 only; AMX itself is written in
// inline assembly.
#include "engine/kernels/cpu/amx_tiles.h"
#include "engine/kernels/cpu/tile_bfloat16_matmul.h"
#include "engine/kernels/cpu/tile_quantized_matmul.h"
#include "engine/kernels/cpu/vector_avx512.h"

namespace tandem {

const KernelTable* AmxKernels() {
#if defined(__AVX512F__)
  static const KernelTable kTable = [] {
    KernelTable table = *Avx512Kernels();
    table.quantized_matmul = TileQuantizedMatMul<Avx512Vector, AmxTiles>;
    table.bfloat16_matmul = TileBFloat16MatMul<Avx512Vector, AmxTiles>;
    return table;
  }();
  return &kTable;
#else
  return nullptr;
#endif
}

}  // namespace tandem
