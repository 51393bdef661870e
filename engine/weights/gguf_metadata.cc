#include "engine/weights/gguf_metadata.h"

#include <limits>
#include <string>
#include <type_traits>

#include "absl/container/flat_hash_set.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

// Bytes of an element by GgufType; 0 where the length varies.
constexpr size_t kElementBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr uint32_t kNumTypes = std::size(kElementBytes);

absl::Status KeyError(absl::string_view file, absl::string_view key, absl::string_view reason) {
  return Malformed(file, "metadata key ", Quoted(key), ": ", reason);
}

// Moves the reader over the value's elements.
bool SkipElements(const GgufValue& value, ByteReader& reader) {
  const size_t element_bytes = kElementBytes[static_cast<size_t>(value.type)];
  if (element_bytes > 0) return reader.Skip(value.count, element_bytes);
  absl::string_view ignored;
  for (uint64_t i = 0; i < value.count; ++i) {
    if (!reader.ReadString(&ignored)) return false;
  }
  return true;
}

absl::Status LocateValue(absl::string_view file, absl::Span<const uint8_t> bytes,
                         ByteReader& reader, GgufValue* value) {
  const auto fail = [&](absl::string_view reason) { return KeyError(file, value->key, reason); };
  uint32_t type;
  if (!reader.Read(&type)) return fail("the file ends in its type");
  value->is_array = type == static_cast<uint32_t>(GgufType::kArray);
  if (value->is_array && (!reader.Read(&type) || !reader.Read(&value->count))) {
    return fail("the file ends in its array header");
  }
  if (type >= kNumTypes) return fail(absl::StrCat("unknown value type ", type));
  value->type = static_cast<GgufType>(type);
  if (value->type == GgufType::kArray) return fail("nested arrays are not supported");

  const size_t begin = reader.position();
  if (!SkipElements(*value, reader)) {
    return fail(value->is_array
                    ? absl::StrCat("array of ", value->count, " elements reaches beyond the file")
                    : "value reaches beyond the file");
  }
  value->bytes = bytes.subspan(begin, reader.position() - begin);
  return absl::OkStatus();
}

// Stores one element as the type that Metadata holds it as. False when it does not fit.
template <typename Stored>
bool Widen(Stored element, int64_t* out) {
  *out = static_cast<int64_t>(element);
  return !std::is_same_v<Stored, uint64_t> || *out >= 0;
}
template <typename Stored>
bool Widen(Stored element, double* out) {
  *out = element;
  return true;
}
bool Widen(uint8_t element, bool* out) {
  *out = element != 0;
  return element <= 1;
}

template <typename Stored, typename Held>
absl::StatusOr<MetadataValue> DecodeNumbers(absl::string_view file, const GgufValue& value) {
  ByteReader reader(value.bytes);
  std::vector<Held> elements;
  elements.reserve(value.count);  // bounded: `bytes` holds them all
  for (uint64_t i = 0; i < value.count; ++i) {
    Stored stored{};
    Held held{};
    CHECK(reader.Read(&stored));
    if (!Widen(stored, &held)) {
      return KeyError(file, value.key, absl::StrCat("value ", stored, " is out of range"));
    }
    elements.push_back(held);
  }
  if (value.is_array) return MetadataValue(std::move(elements));
  return MetadataValue(Held{elements[0]});
}

absl::StatusOr<MetadataValue> DecodeStrings(const GgufValue& value) {
  ByteReader reader(value.bytes);
  std::vector<std::string> elements;
  elements.reserve(value.count);  // bounded: each took at least 8 of `bytes`
  for (uint64_t i = 0; i < value.count; ++i) {
    absl::string_view element;
    CHECK(reader.ReadString(&element));
    elements.emplace_back(element);
  }
  if (value.is_array) return MetadataValue(std::move(elements));
  return MetadataValue(std::move(elements[0]));
}

}  // namespace

absl::StatusOr<std::vector<GgufValue>> LocateGgufMetadata(absl::string_view file, uint64_t count,
                                                          absl::Span<const uint8_t> bytes,
                                                          ByteReader& reader) {
  std::vector<GgufValue> values;
  absl::flat_hash_set<absl::string_view> keys;
  for (uint64_t i = 0; i < count; ++i) {
    GgufValue value;
    if (!reader.ReadString(&value.key)) {
      return Malformed(file, "metadata entry ", i, " of ", count, " reaches beyond the file");
    }
    if (!keys.insert(value.key).second) return KeyError(file, value.key, "occurs twice");
    RETURN_IF_ERROR(LocateValue(file, bytes, reader, &value));
    values.push_back(value);
  }
  return values;
}

absl::StatusOr<MetadataValue> DecodeGgufValue(absl::string_view file, const GgufValue& value) {
  switch (value.type) {
    case GgufType::kUint8:
      return DecodeNumbers<uint8_t, int64_t>(file, value);
    case GgufType::kInt8:
      return DecodeNumbers<int8_t, int64_t>(file, value);
    case GgufType::kUint16:
      return DecodeNumbers<uint16_t, int64_t>(file, value);
    case GgufType::kInt16:
      return DecodeNumbers<int16_t, int64_t>(file, value);
    case GgufType::kUint32:
      return DecodeNumbers<uint32_t, int64_t>(file, value);
    case GgufType::kInt32:
      return DecodeNumbers<int32_t, int64_t>(file, value);
    case GgufType::kUint64:
      return DecodeNumbers<uint64_t, int64_t>(file, value);
    case GgufType::kInt64:
      return DecodeNumbers<int64_t, int64_t>(file, value);
    case GgufType::kFloat32:
      return DecodeNumbers<float, double>(file, value);
    case GgufType::kFloat64:
      return DecodeNumbers<double, double>(file, value);
    case GgufType::kBool:
      return DecodeNumbers<uint8_t, bool>(file, value);
    case GgufType::kString:
      return DecodeStrings(value);
    case GgufType::kArray:
      break;  // LocateGgufMetadata refuses arrays of arrays
  }
  return KeyError(file, value.key, "nested arrays are not supported");
}

}  // namespace tandem
