// Who reads an option: a command, or a command in one of its modes, as proto/option.proto tells.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// The options that `command` reads in any of its modes, in the order of config.proto.
std::vector<const google::protobuf::FieldDescriptor*> OptionsOf(Command command);

// INVALID_ARGUMENT names an option that is not at its default and that `command` does not read in
// the mode that `config` asks for (--compat, --theory, or neither).
absl::Status CheckMode(Command command, const Config& config);

}  // namespace tandem
