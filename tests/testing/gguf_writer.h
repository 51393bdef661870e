// Builds small GGUF files in memory, sound ones and (by asking for it) broken ones.
//
//   GgufWriter writer;
//   writer.AddString("general.architecture", "llama");
//   writer.AddTensor("output_norm.weight", GgufWriter::kF32, {64}, bytes);
//   folder.Write("model.gguf", writer.Build());
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem {

class GgufWriter {
 public:
  // The format's numbers of value types and tensor types, as far as tests need them.
  static constexpr uint32_t kUint8Value = 0, kUint32Value = 4, kInt32Value = 5, kFloat32Value = 6,
                            kBoolValue = 7, kStringValue = 8, kArrayValue = 9, kUint64Value = 10,
                            kFloat64Value = 12;
  static constexpr uint32_t kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ8_0 = 8, kQ4_K = 12,
                            kBF16 = 30;

  struct Tensor {
    std::string name;
    uint32_t type = kF32;
    std::vector<uint64_t> dims;  // innermost first, as the file has them
    uint64_t offset = 0;         // from the start of the data
  };

  // Bytes of a number, or of a length-prefixed string, as the format stores them.
  template <typename T>
  static std::string Bytes(T value) {
    std::string bytes(sizeof(value), '\0');
    std::memcpy(bytes.data(), &value, sizeof(value));
    return bytes;
  }
  static std::string StringBytes(absl::string_view text) {
    return Bytes(uint64_t{text.size()}) + std::string(text);
  }

  // A value of any type, given as bytes, so that tests can write what no writer should.
  void AddRaw(absl::string_view key, uint32_t type, absl::string_view bytes) {
    metadata_ += StringBytes(key) + Bytes(type) + std::string(bytes);
    ++num_values_;
  }
  void AddUint32(absl::string_view key, uint32_t value) { AddRaw(key, kUint32Value, Bytes(value)); }
  void AddFloat(absl::string_view key, float value) { AddRaw(key, kFloat32Value, Bytes(value)); }
  void AddBool(absl::string_view key, bool value) {
    AddRaw(key, kBoolValue, std::string(1, value ? '\1' : '\0'));
  }
  void AddString(absl::string_view key, absl::string_view value) {
    AddRaw(key, kStringValue, StringBytes(value));
  }
  void AddStrings(absl::string_view key, const std::vector<std::string>& values) {
    std::string bytes = ArrayHeader(kStringValue, values.size());
    for (const std::string& value : values) bytes += StringBytes(value);
    AddRaw(key, kArrayValue, bytes);
  }
  void AddBools(absl::string_view key, const std::vector<bool>& values) {
    std::string bytes = ArrayHeader(kBoolValue, values.size());
    for (bool value : values) bytes += value ? '\1' : '\0';
    AddRaw(key, kArrayValue, bytes);
  }
  static std::string ArrayHeader(uint32_t type, uint64_t count) {
    return Bytes(type) + Bytes(count);
  }

  // Appends data behind that of earlier tensors, at the alignment.
  void AddTensor(absl::string_view name, uint32_t type, std::vector<uint64_t> dims,
                 absl::string_view data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    tensors.push_back({std::string(name), type, std::move(dims), data_.size()});
    data_ += std::string(data);
  }
  void AddFloats(absl::string_view name, std::vector<uint64_t> dims,
                 const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    AddTensor(name, kF32, std::move(dims), absl::string_view(bytes, values.size() * sizeof(float)));
  }

  std::string Build() const {
    std::string file = magic + Bytes(version) + Bytes(uint64_t{tensors.size()} + extra_tensors) +
                       Bytes(num_values_ + extra_values) + metadata_;
    for (const Tensor& tensor : tensors) {
      file += StringBytes(tensor.name) + Bytes(static_cast<uint32_t>(tensor.dims.size()));
      for (uint64_t dim : tensor.dims) file += Bytes(dim);
      file += Bytes(tensor.type) + Bytes(tensor.offset);
    }
    file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data_;
  }

  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t extra_tensors = 0, extra_values = 0;  // claimed by the header, not there
  uint64_t alignment = 32;                       // of the data; writes no general.alignment
  std::vector<Tensor> tensors;                   // may be changed before Build()

 private:
  std::string metadata_;
  uint64_t num_values_ = 0;
  std::string data_;
};

}  // namespace tandem
