// Builds small safetensors files in memory; the directory can be broken on purpose.
//
//   SafetensorsWriter writer;
//   writer.Add("model.norm.weight", "F32", {2}, bytes);
//   folder.Write("model.safetensors", writer.Build());
#pragma once

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem {

// A file of any header text, with any claimed length.
inline std::string SafetensorsFile(uint64_t header_bytes, absl::string_view header,
                                   absl::string_view data) {
  std::string file(sizeof(header_bytes), '\0');
  std::memcpy(file.data(), &header_bytes, sizeof(header_bytes));
  return file + std::string(header) + std::string(data);
}

class SafetensorsWriter {
 public:
  void Add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
           absl::string_view bytes) {
    directory[name] = {{"dtype", dtype},
                       {"shape", shape},
                       {"data_offsets", {data.size(), data.size() + bytes.size()}}};
    data += std::string(bytes);
  }
  std::string Build() const {
    const std::string header = directory.dump();
    return SafetensorsFile(header.size(), header, data);
  }

  nlohmann::json directory = nlohmann::json::object();
  std::string data;
};

}  // namespace tandem
