#include "server/cli/option_help.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/cli/option_readers.h"
#include "server/cli/option_value.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;

constexpr size_t kWidth = 80;
constexpr size_t kTextColumn = 29;

// "  -p, --port PORT"; a switch that is on by default shows how to turn it off.
std::string NameColumn(const FieldDescriptor& field) {
  const OptionInfo& info = GetOptionInfo(field);
  const std::string short_name =
      info.short_name().empty() ? "    " : absl::StrCat("-", info.short_name(), ", ");
  const char* dashes = info.positional() ? "" : info.default_() == "true" ? "--[no-]" : "--";
  const std::string name = info.positional() ? "" : FlagName(field);
  const char* space = name.empty() || info.value().empty() ? "" : " ";
  return absl::StrCat("  ", short_name, dashes, name, space, info.value());
}

// The help with what follows from the rest of OptionInfo: choices, what it needs, the default.
std::string Description(const FieldDescriptor& field, Command command) {
  const OptionInfo& info = GetOptionInfo(field);
  std::string text = info.help();
  if (!info.choices().empty()) {
    absl::StrAppend(&text, " (", absl::StrJoin(info.choices(), " | "), ")");
  }
  const std::string needs = NeedsOf(field, command);
  if (!needs.empty()) absl::StrAppend(&text, " (only with ", needs, ")");
  const std::string fallback = info.default_() == "true" ? "on" : info.default_();
  if (!fallback.empty()) absl::StrAppend(&text, " [", fallback, "]");
  return text;
}

// `name`, and `text` beside it, or below where the name is long, broken at spaces.
std::string TwoColumns(std::string name, const std::string& text) {
  std::string help;
  if (name.size() + 2 > kTextColumn) {
    absl::StrAppend(&help, name, "\n");
    name.clear();
  }
  std::string line = std::move(name);
  line.resize(kTextColumn, ' ');
  bool is_first = true;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!is_first && line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(&help, line, "\n");
      line.assign(kTextColumn, ' ');
      is_first = true;
    }
    absl::StrAppend(&line, is_first ? "" : " ", word);
    is_first = false;
  }
  return absl::StrCat(help, line, "\n");
}

// How the values of the options are written.
std::string Legend(const std::vector<const FieldDescriptor*>& options) {
  const auto has = [&options](Unit unit) {
    return std::any_of(options.begin(), options.end(), [unit](const FieldDescriptor* field) {
      return GetOptionInfo(*field).unit() == unit;
    });
  };
  std::string legend = "\n[...] is the default.";
  if (has(SECONDS)) absl::StrAppend(&legend, " TIME: 500ms, 30s, 5m, 1h, or seconds.");
  if (has(BYTES)) absl::StrAppend(&legend, " BYTES: 512MiB, 2GB.");
  const auto some = std::find_if(options.begin(), options.end(), [](const FieldDescriptor* field) {
    return !GetOptionInfo(*field).positional();
  });
  return absl::StrCat(legend, "\n--", FlagName(**some), " is also ", EnvironmentName(**some),
                      " in the environment\nand ", FlagName(**some), " in the --config file.\n");
}

}  // namespace

std::string OptionHelp(Command command) {
  const std::vector<const FieldDescriptor*> options = OptionsOf(command);
  const auto* descriptor = Config::descriptor();
  std::string help, section;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor& field = *descriptor->field(i);
    if (!GetOptionInfo(field).section().empty()) section = GetOptionInfo(field).section();
    if (std::find(options.begin(), options.end(), &field) == options.end()) continue;
    if (!section.empty()) absl::StrAppend(&help, "\n", section, ":\n");
    section.clear();  // is shown
    absl::StrAppend(&help, TwoColumns(NameColumn(field), Description(field, command)));
  }
  return absl::StrCat(help, Legend(options));
}

}  // namespace tandem
