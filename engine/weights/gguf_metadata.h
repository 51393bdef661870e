// The metadata section of a GGUF file, in two steps: locate every value (checking that it lies
// inside the file), then decode those that are wanted. A vocabulary of 10^5 strings costs a walk
// when a model is opened and is copied only for the tokenizer.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/metadata.h"
#include "engine/weights/byte_reader.h"

namespace tandem {

// GGUF's numbers of value types.
enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// A value as it lies in the file: `bytes` holds `count` elements of `type`.
struct GgufValue {
  absl::string_view key;
  GgufType type = GgufType::kUint8;
  bool is_array = false;
  uint64_t count = 1;
  absl::Span<const uint8_t> bytes;
};

// Reads `count` key-value pairs at the reader's position, in the file's order. INVALID_ARGUMENT
// names `file`, key and reason: unknown type, nested array, duplicate key, end of file.
absl::StatusOr<std::vector<GgufValue>> LocateGgufMetadata(absl::string_view file, uint64_t count,
                                                          absl::Span<const uint8_t> bytes,
                                                          ByteReader& reader);

// INVALID_ARGUMENT for what a Metadata cannot hold: a uint64 above 2^63-1, a bool that is not 0 or
// 1.
absl::StatusOr<MetadataValue> DecodeGgufValue(absl::string_view file, const GgufValue& value);

}  // namespace tandem
