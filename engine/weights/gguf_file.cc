#include "engine/weights/gguf_file.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/gguf_tensor_types.h"

namespace tandem {
namespace {

constexpr absl::string_view kTokenizerKeys = "tokenizer.";
constexpr uint32_t kMaxDims = 4;  // ggml's GGML_MAX_DIMS

// Smallest entries that the format can express: an empty key, a type and one byte; an empty name,
// a dimension count, a type and an offset. They bound the header's counts by the file's size.
constexpr uint64_t kMinMetadataBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

// A directory entry before its place in the file is known.
struct TensorEntry {
  absl::string_view name;
  StoredTensor tensor;
  uint64_t offset = 0;  // from the start of the data section
};

absl::Status SetType(absl::string_view file, uint32_t id, TensorEntry* entry) {
  const GgufTensorType* type = FindGgufTensorType(id);
  if (type == nullptr) {
    return TensorError(file, entry->name, absl::StrCat("unknown tensor type ", id));
  }
  if (!type->dtype) {
    return Unsupported(file, "tensor ", Quoted(entry->name), ": type ", type->name,
                       " is not supported (supported: ", SupportedGgufTensorTypes(), ")");
  }
  entry->tensor.type_name = type->name;
  entry->tensor.dtype = type->dtype;
  return absl::OkStatus();
}

// Fills `bytes` from shape and type.
absl::Status SetBytes(absl::string_view file, TensorEntry* entry) {
  StoredTensor& tensor = entry->tensor;
  int64_t num_elements = 1;
  for (int64_t dim : tensor.shape) {
    // Eight bytes an element is above every type: no later product can overflow either.
    if (__builtin_mul_overflow(num_elements, dim, &num_elements) ||
        num_elements > std::numeric_limits<int64_t>::max() / 8) {
      return TensorError(file, entry->name,
                         absl::StrCat("shape ", ShapeString(tensor.shape), " overflows"));
    }
  }
  const DTypeInfo& info = GetDTypeInfo(*tensor.dtype);
  if (tensor.shape.back() % info.block_size != 0) {
    return TensorError(
        file, entry->name,
        absl::StrCat("row of ", tensor.shape.back(), " elements is not a multiple of ", info.name,
                     "'s block of ", info.block_size));
  }
  tensor.bytes = DTypeBytes(*tensor.dtype, num_elements);
  return absl::OkStatus();
}

absl::StatusOr<TensorEntry> ReadTensorEntry(absl::string_view file, uint64_t index, uint64_t count,
                                            ByteReader& reader) {
  TensorEntry entry;
  if (!reader.ReadString(&entry.name)) {
    return Malformed(file, "tensor entry ", index, " of ", count, " reaches beyond the file");
  }
  const auto fail = [&](absl::string_view reason) { return TensorError(file, entry.name, reason); };
  uint32_t num_dims;
  if (!reader.Read(&num_dims)) return fail("the file ends in its entry");
  if (num_dims == 0 || num_dims > kMaxDims) {
    return fail(absl::StrCat(num_dims, " dimensions, expected 1 to ", kMaxDims));
  }
  entry.tensor.shape.resize(num_dims);
  for (uint32_t i = 0; i < num_dims; ++i) {
    uint64_t dim;
    if (!reader.Read(&dim)) return fail("the file ends in its entry");
    if (dim == 0 || dim > std::numeric_limits<int64_t>::max()) {
      return fail(absl::StrCat("dimension ", i, " is ", dim));
    }
    entry.tensor.shape[num_dims - 1 - i] = static_cast<int64_t>(dim);  // GGUF: innermost first
  }
  uint32_t type;
  if (!reader.Read(&type) || !reader.Read(&entry.offset)) return fail("the file ends in its entry");
  RETURN_IF_ERROR(SetType(file, type, &entry));
  RETURN_IF_ERROR(SetBytes(file, &entry));
  return entry;
}

absl::StatusOr<uint64_t> ReadAlignment(absl::string_view file, const Metadata& metadata) {
  constexpr absl::string_view kKey = "general.alignment";
  if (!metadata.Has(kKey)) return uint64_t{32};
  absl::StatusOr<int64_t> alignment = metadata.GetInt(kKey);
  if (!alignment.ok()) return Annotate(alignment.status(), file);
  // The format asks for a multiple of 8; kernels rely on it.
  if (*alignment < 8 || !std::has_single_bit(static_cast<uint64_t>(*alignment))) {
    return Malformed(file, kKey, " is ", *alignment, ", not a power of two of at least 8");
  }
  return static_cast<uint64_t>(*alignment);
}

// Each entry inside the data section, aligned, and apart from the others. Sorts by offset.
absl::Status CheckPlacement(absl::string_view file, uint64_t alignment, uint64_t data_bytes,
                            std::vector<TensorEntry>& entries) {
  std::sort(entries.begin(), entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.offset < b.offset; });
  for (size_t i = 0; i < entries.size(); ++i) {
    const TensorEntry& entry = entries[i];
    const uint64_t bytes = static_cast<uint64_t>(entry.tensor.bytes);
    if (entry.offset % alignment != 0) {
      return TensorError(
          file, entry.name,
          absl::StrCat("offset ", entry.offset, " is not a multiple of ", alignment));
    }
    if (entry.offset > data_bytes || bytes > data_bytes - entry.offset) {
      return TensorError(file, entry.name,
                         absl::StrCat(bytes, " bytes at offset ", entry.offset,
                                      " reach beyond the file's ", data_bytes, " bytes of data"));
    }
    if (i > 0 && entries[i - 1].offset + entries[i - 1].tensor.bytes > entry.offset) {
      return TensorError(file, entry.name,
                         absl::StrCat("overlaps tensor ", Quoted(entries[i - 1].name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufFile> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(auto map, MappedFile::Open(path));
  GgufFile file(std::move(map));
  RETURN_IF_ERROR(file.ReadHeader());
  return file;
}

absl::Status GgufFile::ReadHeader() {
  ByteReader reader(map_->bytes());
  uint32_t magic = 0, version = 0;
  uint64_t num_tensors = 0, num_values = 0;
  constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
  if (!reader.Read(&magic) || magic != kMagic) {
    return Malformed(path(), "not a GGUF file (it does not begin with \"GGUF\")",
                     absl::EndsWith(path(), ".safetensors")
                         ? "; give the folder of a safetensors model, not the file"
                         : "");
  }
  if (!reader.Read(&version)) return Malformed(path(), "the file ends in its header");
  // Small numbers in the other byte order have their low half empty.
  if (version != 0 && (version & 0xffff) == 0) {
    return Unsupported(path(), "big-endian GGUF file; little-endian files are supported");
  }
  if (version != 2 && version != 3) {
    return Unsupported(path(), "GGUF version ", version, " is not supported (supported: 2, 3)");
  }
  if (!reader.Read(&num_tensors) || !reader.Read(&num_values)) {
    return Malformed(path(), "the file ends in its header");
  }
  if (num_values > reader.remaining() / kMinMetadataBytes) {
    return Malformed(path(), "header claims ", num_values, " metadata entries in a file of ",
                     map_->bytes().size(), " bytes");
  }
  if (num_tensors > reader.remaining() / kMinTensorBytes) {
    return Malformed(path(), "header claims ", num_tensors, " tensors in a file of ",
                     map_->bytes().size(), " bytes");
  }
  RETURN_IF_ERROR(ReadMetadata(num_values, reader));
  return ReadTensors(num_tensors, reader);
}

absl::Status GgufFile::ReadMetadata(uint64_t count, ByteReader& reader) {
  ASSIGN_OR_RETURN(values_, LocateGgufMetadata(path(), count, map_->bytes(), reader));
  for (const GgufValue& value : values_) {
    if (absl::StartsWith(value.key, kTokenizerKeys)) continue;
    ASSIGN_OR_RETURN(metadata_.values[value.key], DecodeGgufValue(path(), value));
  }
  return absl::OkStatus();
}

absl::Status GgufFile::ReadTensors(uint64_t count, ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint64_t alignment, ReadAlignment(path(), metadata_));
  std::vector<TensorEntry> entries;
  absl::flat_hash_set<absl::string_view> names;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(TensorEntry entry, ReadTensorEntry(path(), i, count, reader));
    if (!names.insert(entry.name).second) return TensorError(path(), entry.name, "occurs twice");
    entries.push_back(std::move(entry));
  }
  const uint64_t file_bytes = map_->bytes().size();
  const uint64_t padding = (alignment - reader.position() % alignment) % alignment;
  // A file without tensors may end before the padding.
  const uint64_t data_begin = std::min(reader.position() + padding, file_bytes);
  RETURN_IF_ERROR(CheckPlacement(path(), alignment, file_bytes - data_begin, entries));
  for (TensorEntry& entry : entries) {
    entry.tensor.file = path();
    entry.tensor.data = map_->bytes().data() + data_begin + entry.offset;
    tensors_.emplace(entry.name, std::move(entry.tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<Metadata> GgufFile::DecodeAllMetadata() const {
  Metadata all = metadata_;
  for (const GgufValue& value : values_) {
    if (!absl::StartsWith(value.key, kTokenizerKeys)) continue;
    ASSIGN_OR_RETURN(all.values[value.key], DecodeGgufValue(path(), value));
  }
  return all;
}

uint64_t GgufFile::ArraySize(absl::string_view key) const {
  for (const GgufValue& value : values_) {
    if (value.key == key) return value.is_array ? value.count : 0;
  }
  return 0;
}

}  // namespace tandem
