// Who reads an option: a command, or a command in one of its modes or beside certain options, as
// proto/option.proto tells.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace tandem {

// The options that `command` reads in any of its modes, in the order of config.proto.
std::vector<const google::protobuf::FieldDescriptor*> OptionsOf(Command command);

// What `command` must be given to read the option: "--compat and --seeds"; empty: nothing.
std::string NeedsOf(const google::protobuf::FieldDescriptor& field, Command command);

using OptionSet = std::set<const google::protobuf::FieldDescriptor*>;

// INVALID_ARGUMENT names one of the options `given` that is not at its default and that `command`
// does not read beside the others: in another mode only (--compat, --theory, bench compare), or
// with or without another option only.
absl::Status CheckGoTogether(Command command, const Config& config, const OptionSet& given);

}  // namespace tandem
