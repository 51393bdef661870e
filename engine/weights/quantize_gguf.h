// Rounds the matrices of a GGUF file to a block type: half or a quarter of the bytes to read per
// token. Works on tensors and keys, whatever the model.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/core/dtype.h"

namespace tandem {

struct QuantizeOptions {
  std::string input;
  std::string output;
  DType dtype = DType::kQ8_0;  // or kQ4_0
  bool replace = false;        // an output file that is there already
};

struct QuantizeSummary {
  int num_tensors = 0;
  int num_quantized = 0;  // the others are copied
  int64_t input_bytes = 0;
  int64_t output_bytes = 0;
};

// Rounds matrices of F32, F16 and BF16 whose rows are whole blocks to the bits that ggml's
// reference gives; norms, biases, routers and rows of other widths stay as they are. The output
// head (the embedding where tied) is Q8_0 at least: it decides between tokens. All keys are copied;
// general.file_type and general.quantization_version say what was done. A tensor at a time is in
// memory, and the output appears only when it is complete.
//
// `progress` is told how many of all megabytes of the input are done. Errors as GgufFile::Open and
// OutputFile; INVALID_ARGUMENT names a tensor that is quantised already, or a weight that is not
// finite or beyond the type's range.
absl::StatusOr<QuantizeSummary> QuantizeGguf(const QuantizeOptions& options,
                                             absl::FunctionRef<void(int done, int all)> progress);

}  // namespace tandem
