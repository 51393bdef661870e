// The kernel table of one vector type: what each kernels_*.cc instantiates.
#pragma once

#include "engine/kernels/cpu/attention_kernel.h"
#include "engine/kernels/cpu/elementwise_kernels.h"
#include "engine/kernels/cpu/float_matmul.h"
#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/cpu/matmul_kernel.h"
#include "engine/kernels/cpu/probe_kernel.h"
#include "engine/kernels/cpu/quantized_matmul.h"

namespace tandem {

template <typename V>
constexpr KernelTable MakeKernelTable() {
  return KernelTable{.matmul = MatMul<V>,
                     .quantize_row = QuantizeRow<V>,
                     .quantized_matmul = QuantizedMatMul<V>,
                     .bfloat16_matmul = nullptr,
                     .float_matmul = FloatMatMul<V>,
                     .embed_row = EmbedRow<V>,
                     .rms_norm = RmsNorm<V>,
                     .rope = Rope<V>,
                     .store_heads = StoreHeads<V>,
                     .attention = Attention<V>,
                     .merge_spans = MergeSpans<V>,
                     .gated_activation = GatedActivation<V>,
                     .add = AddTo<V>,
                     .softcap = Softcap<V>,
                     .probe_read = ProbeRead<V>,
                     .probe_floats = ProbeFloats<V>,
                     .probe_integers = ProbeIntegers<V>};
}

}  // namespace tandem
