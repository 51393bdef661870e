#include "server/cli/option_readers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
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
    case BENCH:
      return !config.actions().empty() && config.actions(0) == "compare" ? BENCH_COMPARE
                                                                         : BENCH_LOAD;
    default:
      return command;
  }
}

// The flags of the modes of `command` that read the option, where only some do; empty: all do, or
// also the mode without a flag.
std::vector<std::string> ModeFlags(const FieldDescriptor& field, Command command) {
  std::vector<std::string> flags;
  for (const Command reader : ReadersOf(field)) {
    const std::string& flag = GetCommandInfo(reader).flag();
    if (reader == command || (IsModeOf(reader, command) && flag.empty())) return {};
    if (IsModeOf(reader, command)) flags.push_back(flag);
  }
  return flags;
}

// Why the option has no business in `mode` of `command`; empty: it has.
std::string WhyUnread(const FieldDescriptor& field, Command command, Command mode) {
  for (const Command reader : ReadersOf(field)) {
    if (reader == command || reader == mode) return "";
  }
  const std::string& flag = GetCommandInfo(mode).flag();
  return flag.empty() ? absl::StrCat("only with ", absl::StrJoin(ModeFlags(field, command), " or "))
                      : absl::StrCat("not with ", flag);
}

enum class Presence { kUnknown, kAbsent, kPresent };

// Of an option named as "search", or with its value as "arrivals gamma", among `options`.
Presence FindPresence(absl::string_view name, const std::vector<const FieldDescriptor*>& options,
                      const Config& config) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(name, absl::MaxSplits(' ', 1));
  for (const FieldDescriptor* field : options) {
    if (FlagName(*field) != parts.first) continue;
    const bool is_there = parts.second.empty() ? !IsDefault(*field, config)
                                               : OptionText(*field, config) == parts.second;
    return is_there ? Presence::kPresent : Presence::kAbsent;
  }
  return Presence::kUnknown;
}

// Why the option has no business beside the others, or without those that lack; empty: it has.
std::string WhyAlone(const FieldDescriptor& field,
                     const std::vector<const FieldDescriptor*>& options, const Config& config) {
  std::vector<std::string> lacking;
  bool has_one = false;
  for (const std::string& name : GetOptionInfo(field).only_with()) {
    const Presence presence = FindPresence(name, options, config);
    has_one |= presence == Presence::kPresent;
    if (presence == Presence::kAbsent) lacking.push_back(absl::StrCat("--", name));
  }
  if (!has_one && !lacking.empty()) {
    return absl::StrCat("only with ", absl::StrJoin(lacking, " or "));
  }
  for (const std::string& name : GetOptionInfo(field).not_with()) {
    if (FindPresence(name, options, config) == Presence::kPresent) {
      return absl::StrCat("not with --", name);
    }
  }
  return "";
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

std::string NeedsOf(const FieldDescriptor& field, Command command) {
  std::vector<std::string> others;
  const std::vector<const FieldDescriptor*> options = OptionsOf(command);
  for (const std::string& name : GetOptionInfo(field).only_with()) {
    if (FindPresence(name, options, Config()) == Presence::kUnknown) continue;
    others.push_back(absl::StrCat("--", name));
  }
  std::vector<std::string> needs = {absl::StrJoin(ModeFlags(field, command), " or "),
                                    absl::StrJoin(others, " or ")};
  std::erase(needs, "");
  return absl::StrJoin(needs, " and ");
}

absl::Status CheckGoTogether(Command command, const Config& config, const OptionSet& given) {
  const std::vector<const FieldDescriptor*> options = OptionsOf(command);
  const Command mode = ModeOf(command, config);
  for (const FieldDescriptor* field : options) {
    if (given.count(field) == 0 || IsDefault(*field, config)) continue;
    std::string why = WhyUnread(*field, command, mode);
    if (why.empty()) why = WhyAlone(*field, options, config);
    if (why.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat("option --", FlagName(*field), ": ", why));
  }
  return absl::OkStatus();
}

}  // namespace tandem
