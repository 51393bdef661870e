// The single commands of proto/option.proto, neither modes nor sets of them.
#pragma once

#include <vector>

#include "proto/option.pb.h"

namespace tandem {

inline std::vector<Command> AllCommands() {
  std::vector<Command> commands;
  for (int i = 0; i < Command_descriptor()->value_count(); ++i) {
    const auto* value = Command_descriptor()->value(i);
    const CommandInfo& info = value->options().GetExtension(command_info);
    const bool is_single = info.all_of().empty() && info.mode_of() == COMMAND_NONE;
    if (is_single && value->number() != COMMAND_NONE) {
      commands.push_back(static_cast<Command>(value->number()));
    }
  }
  return commands;
}

}  // namespace tandem
