#include "engine/weights/quantize_gguf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/tensor/float16.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/gguf_file.h"
#include "engine/weights/gguf_file_writer.h"
#include "engine/weights/quantize_blocks.h"

namespace tandem {
namespace {

constexpr absl::string_view kHead = "output.weight";
constexpr absl::string_view kEmbedding = "token_embd.weight";

// Elements that are rounded at a time, a multiple of all block sizes: a few megabytes in memory.
constexpr int64_t kChunk = 1 << 20;

// llama.cpp's enum llama_ftype, and the version of ggml's block formats.
constexpr uint32_t kFileTypeQ4 = 2, kFileTypeQ8 = 7, kQuantizationVersion = 2;

bool IsPlain(DType dtype) { return GetDTypeInfo(dtype).block_size == 1; }

// One tensor of the input and how it goes into the output.
struct Conversion {
  absl::string_view name;
  const StoredTensor* from = nullptr;
  DType to = DType::kF32;
};

// What llama.cpp leaves alone: vectors, norms (which are matrices in some models) and routers.
bool IsQuantizable(absl::string_view name, const StoredTensor& tensor, DType dtype) {
  return tensor.shape.size() >= 2 && absl::EndsWith(name, ".weight") &&
         !absl::EndsWith(name, "_norm.weight") && !absl::EndsWith(name, "ffn_gate_inp.weight") &&
         tensor.shape.back() % GetDTypeInfo(dtype).block_size == 0;
}

// In the order in which the data lies in the file.
absl::StatusOr<std::vector<Conversion>> PlanConversions(const GgufFile& file, DType dtype) {
  const absl::string_view head = file.tensors().contains(kHead) ? kHead : kEmbedding;
  std::vector<Conversion> conversions;
  for (const auto& [name, tensor] : file.tensors()) {
    if (!IsPlain(*tensor.dtype)) {
      return Malformed(file.path(), "tensor ", Quoted(name), " is quantised already (",
                       tensor.type_name, "): quantise the F32, F16 or BF16 file");
    }
    const DType wanted = name == head ? DType::kQ8_0 : dtype;
    const bool is_quantizable = IsQuantizable(name, tensor, wanted);
    conversions.push_back(
        {.name = name, .from = &tensor, .to = is_quantizable ? wanted : *tensor.dtype});
  }
  std::sort(conversions.begin(), conversions.end(),
            [](const Conversion& a, const Conversion& b) { return a.from->data < b.from->data; });
  return conversions;
}

// All keys of the file, and the two that tell how it is quantised in place of its own.
std::vector<GgufValue> OutputValues(const GgufFile& file, const uint32_t* file_type) {
  const auto number = [](absl::string_view key, const uint32_t* value) {
    return GgufValue{.key = key,
                     .type = GgufType::kUint32,
                     .bytes = {reinterpret_cast<const uint8_t*>(value), sizeof(*value)}};
  };
  const GgufValue own[] = {number("general.file_type", file_type),
                           number("general.quantization_version", &kQuantizationVersion)};
  std::vector<GgufValue> values(file.values().begin(), file.values().end());
  for (const GgufValue& value : own) {
    const auto old = std::find_if(values.begin(), values.end(),
                                  [&](const GgufValue& v) { return v.key == value.key; });
    if (old == values.end()) {
      values.push_back(value);
    } else {
      *old = value;
    }
  }
  return values;
}

void ToFloats(DType dtype, const uint8_t* from, absl::Span<float> to) {
  if (dtype == DType::kF32) {
    std::memcpy(to.data(), from, to.size() * sizeof(float));
    return;
  }
  for (size_t i = 0; i < to.size(); ++i) {
    uint16_t half;
    std::memcpy(&half, from + i * sizeof(half), sizeof(half));
    to[i] = dtype == DType::kF16 ? FloatFromHalf(half) : FloatFromBFloat16(half);
  }
}

absl::Status RefuseWeights(const Conversion& conversion, absl::Span<const float> weights) {
  const bool finite =
      std::all_of(weights.begin(), weights.end(), [](float x) { return std::isfinite(x); });
  return Malformed(
      conversion.from->file, "tensor ", Quoted(conversion.name),
      finite ? absl::StrCat(" has weights beyond the range of ", GetDTypeInfo(conversion.to).name)
             : " has weights that are not finite");
}

class GgufQuantizer {
 public:
  GgufQuantizer(GgufFileWriter& writer, absl::FunctionRef<void(int done, int all)> progress,
                int64_t all_bytes)
      : writer_(writer), progress_(progress), all_bytes_(all_bytes) {}

  absl::Status Write(const Conversion& conversion) {
    const StoredTensor& from = *conversion.from;
    const int64_t element_bytes = GetDTypeInfo(*from.dtype).block_bytes;
    const int64_t num_elements = from.bytes / element_bytes;
    for (int64_t begin = 0; begin < num_elements; begin += kChunk) {
      const int64_t count = std::min(kChunk, num_elements - begin);
      const uint8_t* data = from.data + begin * element_bytes;
      RETURN_IF_ERROR(WriteChunk(conversion, data, count));
      done_bytes_ += count * element_bytes;
      progress_(Megabytes(done_bytes_), Megabytes(all_bytes_));
    }
    return absl::OkStatus();
  }

 private:
  // Rounded up, so that a small file has progress too.
  static int Megabytes(int64_t bytes) { return static_cast<int>((bytes + 999999) / 1000000); }

  absl::Status WriteChunk(const Conversion& conversion, const uint8_t* data, int64_t count) {
    const DType from = *conversion.from->dtype;
    if (conversion.to == from) {
      return writer_.Append(absl::MakeConstSpan(data, DTypeBytes(from, count)));
    }
    floats_.resize(count);
    ToFloats(from, data, absl::MakeSpan(floats_));
    blocks_.resize(DTypeBytes(conversion.to, count));
    if (!QuantizeBlocks(conversion.to, floats_, blocks_.data())) {
      return RefuseWeights(conversion, floats_);
    }
    return writer_.Append(blocks_);
  }

  GgufFileWriter& writer_;
  absl::FunctionRef<void(int done, int all)> progress_;
  const int64_t all_bytes_;
  int64_t done_bytes_ = 0;
  std::vector<float> floats_;
  std::vector<uint8_t> blocks_;
};

}  // namespace

absl::StatusOr<QuantizeSummary> QuantizeGguf(const QuantizeOptions& options,
                                             absl::FunctionRef<void(int done, int all)> progress) {
  CHECK(CanQuantizeTo(options.dtype)) << GetDTypeInfo(options.dtype).name;
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.input));
  ASSIGN_OR_RETURN(const std::vector<Conversion> conversions, PlanConversions(file, options.dtype));
  const uint32_t file_type = options.dtype == DType::kQ8_0 ? kFileTypeQ8 : kFileTypeQ4;
  QuantizeSummary summary;
  summary.num_tensors = static_cast<int>(conversions.size());
  summary.input_bytes = static_cast<int64_t>(file.map()->bytes().size());
  GgufHeader header;
  header.values = OutputValues(file, &file_type);
  header.alignment = file.metadata().GetIntOr("general.alignment", header.alignment);
  int64_t data_bytes = 0;
  for (const Conversion& conversion : conversions) {
    header.tensors.push_back({std::string(conversion.name), conversion.to, conversion.from->shape});
    data_bytes += conversion.from->bytes;
    if (conversion.to != *conversion.from->dtype) ++summary.num_quantized;
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<GgufFileWriter> writer,
                   GgufFileWriter::Create(options.output, header, options.replace));
  summary.output_bytes = writer->file_bytes();
  GgufQuantizer quantizer(*writer, progress, data_bytes);
  for (const Conversion& conversion : conversions) RETURN_IF_ERROR(quantizer.Write(conversion));
  RETURN_IF_ERROR(writer->Commit());
  return summary;
}

}  // namespace tandem
