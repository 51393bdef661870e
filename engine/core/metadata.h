// Key-value metadata of a model file (the header of a GGUF), as plain data that any folder can
// read.
//
//   ASSIGN_OR_RETURN(const int64_t num_layers, metadata.GetInt("llama.block_count"));
//   const double base = metadata.GetFloatOr("llama.rope.freq_base", 10000.0);
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Integers of every width are int64_t (a uint64 above 2^63-1 is refused by the reader), floats are
// double, arrays are flat and of one type.
using MetadataValue =
    std::variant<bool, int64_t, double, std::string, std::vector<bool>, std::vector<int64_t>,
                 std::vector<double>, std::vector<std::string>>;

// Thread-safe once filled.
struct Metadata {
  absl::flat_hash_map<std::string, MetadataValue> values;

  bool Has(absl::string_view key) const { return values.contains(key); }

  // NOT_FOUND names the absent key; INVALID_ARGUMENT a key of another type. GetFloat also takes an
  // integer.
  absl::StatusOr<bool> GetBool(absl::string_view key) const;
  absl::StatusOr<int64_t> GetInt(absl::string_view key) const;
  absl::StatusOr<double> GetFloat(absl::string_view key) const;
  absl::StatusOr<std::string> GetString(absl::string_view key) const;

  // The value, or `fallback` where the key is absent or of another type.
  bool GetBoolOr(absl::string_view key, bool fallback) const;
  int64_t GetIntOr(absl::string_view key, int64_t fallback) const;
  double GetFloatOr(absl::string_view key, double fallback) const;
  std::string GetStringOr(absl::string_view key, absl::string_view fallback) const;

  // A pointer into `values`, or null where the key is absent or of another type.
  const std::vector<bool>* FindBools(absl::string_view key) const;
  const std::vector<int64_t>* FindInts(absl::string_view key) const;
  const std::vector<double>* FindFloats(absl::string_view key) const;
  const std::vector<std::string>* FindStrings(absl::string_view key) const;
};

}  // namespace tandem
