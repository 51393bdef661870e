// Writes a GGUF file, version 3, as a stream: keys and tensor directory first, then the tensors'
// bytes in the directory's order.
//
//   ASSIGN_OR_RETURN(auto writer, GgufFileWriter::Create(path, header, /*replace=*/false));
//   RETURN_IF_ERROR(writer->Append(first_part));    // of tensor 0
//   RETURN_IF_ERROR(writer->Commit());              // all tensors are complete: now the file is
//   there
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/dtype.h"
#include "engine/weights/gguf_metadata.h"
#include "engine/weights/output_file.h"

namespace tandem {

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost dimension first, at least one

  int64_t NumElements() const;
  int64_t Bytes() const { return DTypeBytes(dtype, NumElements()); }
};

struct GgufHeader {
  std::vector<GgufValue> values;  // keys and bytes are not copied: they must outlive Create
  std::vector<GgufTensorInfo> tensors;
  int64_t alignment = 32;  // of each tensor; general.alignment where it is not 32
};

// Owner thread only.
class GgufFileWriter {
 public:
  // Errors as OutputFile::Create. The header is written at once.
  static absl::StatusOr<std::unique_ptr<GgufFileWriter>> Create(const std::string& path,
                                                                const GgufHeader& header,
                                                                bool replace);

  // The next bytes of the tensor whose turn it is, none of the one after it.
  absl::Status Append(absl::Span<const uint8_t> bytes);

  // A CHECK fails when bytes of a tensor are missing. Errors as OutputFile::Commit.
  absl::Status Commit();

  int64_t file_bytes() const { return file_bytes_; }

 private:
  GgufFileWriter(std::unique_ptr<OutputFile> file, const GgufHeader& header, int64_t file_bytes);

  const std::unique_ptr<OutputFile> file_;
  const std::vector<GgufTensorInfo> tensors_;
  const int64_t alignment_;
  const int64_t file_bytes_;
  size_t tensor_ = 0;    // whose turn it is
  int64_t written_ = 0;  // bytes of it
};

}  // namespace tandem
