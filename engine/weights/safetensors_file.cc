#include "engine/weights/safetensors_file.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/core/status_macros.h"
#include "engine/weights/byte_reader.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/json_object.h"

namespace tandem {
namespace {

using nlohmann::json;

// The limit of the reference implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct ElementType {
  absl::string_view name;
  int bits;
  std::optional<DType> dtype;
};
constexpr ElementType kElementTypes[] = {
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"BOOL", 8, {}},
    {"U8", 8, {}},
    {"I8", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F4", 4, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"I32", 32, {}},
    {"U32", 32, {}},
    {"F64", 64, {}},
    {"I64", 64, {}},
    {"U64", 64, {}},
    {"C64", 64, {}},
};

// A JSON array of non-negative integers; nothing where it is anything else.
std::optional<std::vector<int64_t>> IntegerList(const json* value) {
  if (value == nullptr || !value->is_array()) return std::nullopt;
  std::vector<int64_t> list;
  for (const json& element : *value) {
    if (!element.is_number_unsigned()) return std::nullopt;
    const uint64_t number = element.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    list.push_back(static_cast<int64_t>(number));
  }
  return list;
}

// Bytes of a tensor; nothing on overflow or a fraction of a byte.
std::optional<int64_t> TensorBytes(const std::vector<int64_t>& shape, int bits) {
  int64_t total_bits = bits;
  for (int64_t dim : shape) {
    if (__builtin_mul_overflow(total_bits, dim, &total_bits)) return std::nullopt;
  }
  if (total_bits % 8 != 0) return std::nullopt;
  return total_bits / 8;
}

absl::StatusOr<StoredTensor> ReadEntry(const std::string& file, absl::string_view name,
                                       const json& value, absl::Span<const uint8_t> data) {
  const auto fail = [&](absl::string_view reason) { return TensorError(file, name, reason); };
  if (!value.is_object()) return fail("its entry is not a JSON object");
  const JsonObject entry(file, value);
  const json* type_name = entry.Find("dtype");
  if (type_name == nullptr || !type_name->is_string()) return fail("\"dtype\" is not a string");
  const auto* type = std::find_if(
      std::begin(kElementTypes), std::end(kElementTypes),
      [&](const ElementType& t) { return t.name == type_name->get_ref<const std::string&>(); });
  if (type == std::end(kElementTypes)) {
    return fail(absl::StrCat("unknown dtype ", Quoted(type_name->get<std::string>())));
  }
  constexpr size_t kMaxDims = 8;  // any model's tensors, and short enough to print
  const auto shape = IntegerList(entry.Find("shape"));
  if (!shape || shape->size() > kMaxDims) return fail("\"shape\" is not a list of up to 8 sizes");
  const auto offsets = IntegerList(entry.Find("data_offsets"));
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    return fail("\"data_offsets\" is not [begin, end]");
  }
  const int64_t begin = (*offsets)[0], end = (*offsets)[1];
  if (static_cast<uint64_t>(end) > data.size()) {
    return fail(absl::StrCat("its data ends at byte ", end, " of ", data.size()));
  }
  const auto bytes = TensorBytes(*shape, type->bits);
  if (bytes != end - begin) {
    return fail(absl::StrCat("data_offsets hold ", end - begin, " bytes, shape ",
                             ShapeString(*shape), " of ", type->name, " needs ",
                             bytes ? absl::StrCat(*bytes) : "more than fits 64 bits"));
  }
  return StoredTensor{file, type->name, type->dtype, *shape, data.data() + begin, *bytes};
}

absl::Status CheckApart(absl::string_view file, const TensorDirectory& tensors) {
  std::vector<const TensorDirectory::value_type*> order;
  for (const auto& tensor : tensors) {
    if (tensor.second.bytes > 0) order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->second.data < b->second.data; });
  for (size_t i = 1; i < order.size(); ++i) {
    const auto& [previous_name, previous] = *order[i - 1];
    if (previous.data + previous.bytes > order[i]->second.data) {
      return TensorError(file, order[i]->first,
                         absl::StrCat("overlaps tensor ", Quoted(previous_name)));
    }
  }
  return absl::OkStatus();
}

// Splits the file into its parsed directory and the data behind it.
absl::StatusOr<json> ReadDirectory(const MappedFile& map, absl::Span<const uint8_t>* data) {
  ByteReader reader(map.bytes());
  uint64_t header_bytes = 0;
  if (!reader.Read(&header_bytes)) return Malformed(map.path(), "the file ends in its header");
  if (header_bytes > reader.remaining()) {
    return Malformed(map.path(), "header of ", header_bytes, " bytes in a file of ",
                     map.bytes().size(), ": not a safetensors file, or truncated");
  }
  if (header_bytes > kMaxHeaderBytes) {
    return Malformed(map.path(), "header of ", header_bytes, " bytes, the format allows ",
                     kMaxHeaderBytes);
  }
  const auto header = map.bytes().subspan(reader.position(), header_bytes);
  *data = map.bytes().subspan(reader.position() + header_bytes);
  const absl::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  ASSIGN_OR_RETURN(json directory, ParseFileJson(absl::StrCat(map.path(), ": header"), text));
  if (!directory.is_object()) return Malformed(map.path(), "header is not a JSON object");
  return directory;
}

}  // namespace

absl::StatusOr<SafetensorsModel> OpenSafetensors(const std::string& path) {
  ASSIGN_OR_RETURN(auto map, MappedFile::Open(path));
  absl::Span<const uint8_t> data;
  ASSIGN_OR_RETURN(const json directory, ReadDirectory(*map, &data));
  SafetensorsModel model;
  for (const auto& [name, entry] : directory.items()) {
    if (name == "__metadata__") continue;
    ASSIGN_OR_RETURN(model.tensors[name], ReadEntry(map->path(), name, entry, data));
  }
  RETURN_IF_ERROR(CheckApart(path, model.tensors));
  model.maps.push_back(std::move(map));
  return model;
}

absl::StatusOr<SafetensorsModel> OpenShardedSafetensors(const std::string& index_path) {
  ASSIGN_OR_RETURN(const JsonObject index, ReadJsonObject(index_path));
  ASSIGN_OR_RETURN(const JsonObject weight_map, index.Object("weight_map"));
  const std::string folder = index_path.substr(0, index_path.rfind('/') + 1);
  std::map<std::string, TensorDirectory> shards;
  SafetensorsModel model;
  for (const auto& [name, value] : weight_map.object().items()) {
    if (!value.is_string()) return TensorError(index_path, name, "its shard is not a string");
    const auto& shard = value.get_ref<const std::string&>();
    // A separator would let the index read files outside its folder.
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(absl::string_view("/\0", 2).data(), 0, 2) != std::string::npos) {
      return TensorError(index_path, name,
                         absl::StrCat("shard ", Quoted(shard), " is not a plain file name"));
    }
    auto opened = shards.find(shard);
    if (opened == shards.end()) {
      absl::StatusOr<SafetensorsModel> file = OpenSafetensors(folder + shard);
      if (!file.ok()) return Annotate(file.status(), index_path);
      model.maps.push_back(std::move(file->maps[0]));
      opened = shards.emplace(shard, std::move(file->tensors)).first;
    }
    const auto tensor = opened->second.find(name);
    if (tensor == opened->second.end()) {
      return TensorError(index_path, name, absl::StrCat("shard ", Quoted(shard), " lacks it"));
    }
    model.tensors.emplace(name, tensor->second);
  }
  return model;
}

}  // namespace tandem
