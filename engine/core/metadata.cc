#include "engine/core/metadata.h"

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

template <typename T>
const T* Find(const Metadata& metadata, absl::string_view key) {
  const auto it = metadata.values.find(key);
  return it == metadata.values.end() ? nullptr : std::get_if<T>(&it->second);
}

template <typename T>
absl::StatusOr<T> Get(const Metadata& metadata, absl::string_view key, absl::string_view type) {
  if (const T* value = Find<T>(metadata, key)) return *value;
  if (!metadata.Has(key))
    return absl::NotFoundError(absl::StrCat("metadata key ", key, " is absent"));
  return absl::InvalidArgumentError(absl::StrCat("metadata key ", key, " is not a ", type));
}

}  // namespace

absl::StatusOr<bool> Metadata::GetBool(absl::string_view key) const {
  return Get<bool>(*this, key, "bool");
}

absl::StatusOr<int64_t> Metadata::GetInt(absl::string_view key) const {
  return Get<int64_t>(*this, key, "integer");
}

absl::StatusOr<double> Metadata::GetFloat(absl::string_view key) const {
  if (const auto* integer = Find<int64_t>(*this, key)) return static_cast<double>(*integer);
  return Get<double>(*this, key, "number");
}

absl::StatusOr<std::string> Metadata::GetString(absl::string_view key) const {
  return Get<std::string>(*this, key, "string");
}

bool Metadata::GetBoolOr(absl::string_view key, bool fallback) const {
  return GetBool(key).value_or(fallback);
}

int64_t Metadata::GetIntOr(absl::string_view key, int64_t fallback) const {
  return GetInt(key).value_or(fallback);
}

double Metadata::GetFloatOr(absl::string_view key, double fallback) const {
  return GetFloat(key).value_or(fallback);
}

std::string Metadata::GetStringOr(absl::string_view key, absl::string_view fallback) const {
  return GetString(key).value_or(std::string(fallback));
}

const std::vector<bool>* Metadata::FindBools(absl::string_view key) const {
  return Find<std::vector<bool>>(*this, key);
}

const std::vector<int64_t>* Metadata::FindInts(absl::string_view key) const {
  return Find<std::vector<int64_t>>(*this, key);
}

const std::vector<double>* Metadata::FindFloats(absl::string_view key) const {
  return Find<std::vector<double>>(*this, key);
}

const std::vector<std::string>* Metadata::FindStrings(absl::string_view key) const {
  return Find<std::vector<std::string>>(*this, key);
}

}  // namespace tandem
