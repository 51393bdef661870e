#include "server/cli/option_readers.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/cli/option_value.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;

const CommandInfo& GetCommandInfo(Command command) {
  return Command_descriptor()->FindValueByNumber(command)->options().GetExtension(command_info);
}

// Appends `reader`, or what it is a set of.
void AddReaders(Command reader, std::vector<Command>* readers) {
  const CommandInfo& info = GetCommandInfo(reader);
  if (info.all_of().empty()) readers->push_back(reader);
  for (const int member : info.all_of()) AddReaders(static_cast<Command>(member), readers);
}

// Commands and modes.
std::vector<Command> ReadersOf(const FieldDescriptor& field) {
  std::vector<Command> readers;
  for (const int reader : GetOptionInfo(field).commands()) {
    AddReaders(static_cast<Command>(reader), &readers);
  }
  return readers;
}

bool IsModeOf(Command mode, Command command) { return GetCommandInfo(mode).mode_of() == command; }

// The mode that the command is in; itself where it has none.
Command ModeOf(Command command, const Config& config) {
  switch (command) {
    case SIMULATE:
      return config.compat().empty() ? SIMULATE_TANDEM : SIMULATE_COMPAT;
    case PLAN:
      return config.theory() ? PLAN_THEORY : config.compat().empty() ? PLAN_TANDEM : PLAN_COMPAT;
    default:
      return command;
  }
}

// Why an option with these readers has no business in `mode` of `command`; empty: it has.
std::string WhyUnread(const std::vector<Command>& readers, Command command, Command mode) {
  std::vector<std::string> flags;  // of modes that do read it
  for (const Command reader : readers) {
    if (reader == command || reader == mode) return "";
    if (IsModeOf(reader, command)) flags.push_back(GetCommandInfo(reader).flag());
  }
  if (flags.empty()) return "";  // of other commands only
  const std::string& flag = GetCommandInfo(mode).flag();
  return flag.empty() ? absl::StrCat("only with ", absl::StrJoin(flags, " or "))
                      : absl::StrCat("not with ", flag);
}

}  // namespace

std::vector<const FieldDescriptor*> OptionsOf(Command command) {
  std::vector<const FieldDescriptor*> options;
  const auto* descriptor = Config::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const std::vector<Command> readers = ReadersOf(*descriptor->field(i));
    const bool is_read = std::any_of(readers.begin(), readers.end(), [command](Command reader) {
      return reader == command || IsModeOf(reader, command);
    });
    if (is_read) options.push_back(descriptor->field(i));
  }
  return options;
}

absl::Status CheckMode(Command command, const Config& config) {
  const Command mode = ModeOf(command, config);
  for (const FieldDescriptor* field : OptionsOf(command)) {
    const std::string why = WhyUnread(ReadersOf(*field), command, mode);
    if (why.empty() || IsDefault(*field, config)) continue;
    return absl::InvalidArgumentError(absl::StrCat("option --", FlagName(*field), ": ", why));
  }
  return absl::OkStatus();
}

}  // namespace tandem
