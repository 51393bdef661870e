#include "engine/weights/gguf_file_writer.h"

#include <cstring>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/weights/gguf_tensor_types.h"

namespace tandem {
namespace {

int64_t Padding(int64_t bytes, int64_t alignment) {
  return (alignment - bytes % alignment) % alignment;
}

template <typename T>
void AppendNumber(T value, std::string* out) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  out->append(bytes, sizeof(bytes));
}

void AppendString(absl::string_view text, std::string* out) {
  AppendNumber(uint64_t{text.size()}, out);
  out->append(text.data(), text.size());
}

void AppendValue(const GgufValue& value, std::string* out) {
  AppendString(value.key, out);
  if (value.is_array) {
    AppendNumber(static_cast<uint32_t>(GgufType::kArray), out);
    AppendNumber(static_cast<uint32_t>(value.type), out);
    AppendNumber(value.count, out);
  } else {
    AppendNumber(static_cast<uint32_t>(value.type), out);
  }
  out->append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

// `offset` counts from the first tensor's data.
void AppendTensor(const GgufTensorInfo& tensor, int64_t offset, std::string* out) {
  AppendString(tensor.name, out);
  AppendNumber(static_cast<uint32_t>(tensor.shape.size()), out);
  for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) {
    AppendNumber(static_cast<uint64_t>(*dim), out);  // the file has the innermost first
  }
  AppendNumber(GgufTensorTypeId(tensor.dtype), out);
  AppendNumber(static_cast<uint64_t>(offset), out);
}

// All that stands before the data, and the size of the whole file.
std::string HeaderBytes(const GgufHeader& header, int64_t* file_bytes) {
  constexpr uint32_t kVersion = 3;
  std::string bytes = "GGUF";
  AppendNumber(kVersion, &bytes);
  AppendNumber(uint64_t{header.tensors.size()}, &bytes);
  AppendNumber(uint64_t{header.values.size()}, &bytes);
  for (const GgufValue& value : header.values) AppendValue(value, &bytes);
  int64_t offset = 0;
  for (const GgufTensorInfo& tensor : header.tensors) {
    AppendTensor(tensor, offset, &bytes);
    offset += tensor.Bytes();
    offset += Padding(offset, header.alignment);
  }
  bytes.append(Padding(static_cast<int64_t>(bytes.size()), header.alignment), '\0');
  *file_bytes = static_cast<int64_t>(bytes.size()) + offset;
  return bytes;
}

absl::Span<const uint8_t> AsBytes(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

}  // namespace

int64_t GgufTensorInfo::NumElements() const {
  int64_t product = 1;
  for (int64_t dim : shape) product *= dim;
  return product;
}

absl::StatusOr<std::unique_ptr<GgufFileWriter>> GgufFileWriter::Create(const std::string& path,
                                                                       const GgufHeader& header,
                                                                       bool replace) {
  int64_t file_bytes = 0;
  const std::string bytes = HeaderBytes(header, &file_bytes);
  ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> file, OutputFile::Create(path, file_bytes, replace));
  RETURN_IF_ERROR(file->Append(AsBytes(bytes)));
  return std::unique_ptr<GgufFileWriter>(new GgufFileWriter(std::move(file), header, file_bytes));
}

GgufFileWriter::GgufFileWriter(std::unique_ptr<OutputFile> file, const GgufHeader& header,
                               int64_t file_bytes)
    : file_(std::move(file)),
      tensors_(header.tensors),
      alignment_(header.alignment),
      file_bytes_(file_bytes) {}

absl::Status GgufFileWriter::Append(absl::Span<const uint8_t> bytes) {
  CHECK(tensor_ < tensors_.size()) << "all tensors are written";
  const int64_t all = tensors_[tensor_].Bytes();
  written_ += static_cast<int64_t>(bytes.size());
  CHECK(written_ <= all) << tensors_[tensor_].name << ": " << written_ << " of " << all;
  RETURN_IF_ERROR(file_->Append(bytes));
  if (written_ < all) return absl::OkStatus();
  ++tensor_;
  written_ = 0;
  return file_->Append(AsBytes(std::string(Padding(all, alignment_), '\0')));
}

absl::Status GgufFileWriter::Commit() {
  CHECK(tensor_ == tensors_.size()) << tensors_[tensor_].name << " is not complete";
  return file_->Commit();
}

}  // namespace tandem
