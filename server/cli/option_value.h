// Text <-> value of one option, checked against its OptionInfo.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/core/status_macros.h"
#include "proto/config.pb.h"

namespace tandem {

const OptionInfo& GetOptionInfo(const google::protobuf::FieldDescriptor& field);

// "max_num_seqs" -> "max-num-seqs".
std::string FlagName(const google::protobuf::FieldDescriptor& field);

// "max_num_seqs" -> "TANDEM_MAX_NUM_SEQS".
std::string EnvironmentName(const google::protobuf::FieldDescriptor& field);

// "4GiB" (BYTES), "500ms" (SECONDS) or a plain number. INVALID_ARGUMENT says what was expected.
absl::StatusOr<double> ParseQuantity(Unit unit, absl::string_view text);

// Parses `text` and sets the field, or appends to it where it is repeated. INVALID_ARGUMENT says
// what was expected; the caller names the option.
absl::Status SetOption(const google::protobuf::FieldDescriptor& field, const std::string& text,
                       Config& config);

// The field's value as SetOption reads it; of a repeated one the element `index`.
std::string OptionText(const google::protobuf::FieldDescriptor& field, const Config& config,
                       int index = 0);

// Whether the field has the value that OptionInfo says it has by default.
bool IsDefault(const google::protobuf::FieldDescriptor& field, const Config& config);

// What a list option of numbers has, which SetOption has checked: "1,4.5,inf".
std::vector<double> NumbersOf(const std::string& list);

// `value`, whose error begins with the name of the option that it was read from.
template <typename T>
absl::StatusOr<T> NameOption(absl::string_view flag, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return Annotate(value.status(), absl::StrCat("option --", flag));
}

}  // namespace tandem
