// Reader of GGUF files, versions 2 and 3: header, metadata, tensor directory. It knows the format,
// not the models; everything in the file is checked before it is believed.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/core/metadata.h"
#include "engine/weights/gguf_metadata.h"
#include "engine/weights/mapped_file.h"
#include "engine/weights/stored_tensor.h"

namespace tandem {

// Movable; thread-safe once opened. Tensors point into the map, which map() shares.
class GgufFile {
 public:
  // Errors as of MappedFile::Open; INVALID_ARGUMENT (malformed) and UNIMPLEMENTED (version, tensor
  // type) name the file, the key or tensor, and the reason.
  static absl::StatusOr<GgufFile> Open(const std::string& path);

  const std::string& path() const { return map_->path(); }
  const std::shared_ptr<const MappedFile>& map() const { return map_; }

  // All keys but the tokenizer's ("tokenizer.*"), which stay undecoded.
  const Metadata& metadata() const { return metadata_; }
  // All keys, undecoded, in the file's order.
  const std::vector<GgufValue>& values() const { return values_; }
  // All keys. INVALID_ARGUMENT names a tokenizer key whose value does not fit a Metadata.
  absl::StatusOr<Metadata> DecodeAllMetadata() const;
  // Elements of an array of any key; 0 where there is none.
  uint64_t ArraySize(absl::string_view key) const;

  const TensorDirectory& tensors() const { return tensors_; }

 private:
  explicit GgufFile(std::shared_ptr<const MappedFile> map) : map_(std::move(map)) {}

  absl::Status ReadHeader();
  absl::Status ReadMetadata(uint64_t count, ByteReader& reader);
  absl::Status ReadTensors(uint64_t count, ByteReader& reader);

  std::shared_ptr<const MappedFile> map_;
  std::vector<GgufValue> values_;
  Metadata metadata_;
  TensorDirectory tensors_;
};

}  // namespace tandem
