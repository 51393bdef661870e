#include "server/cli/config_loader.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "server/cli/option_readers.h"
#include "server/cli/option_value.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;

// '_' and '-' are the same in flags and keys.
const FieldDescriptor* FindLongName(Command command, absl::string_view name) {
  const std::string dashed = absl::StrReplaceAll(name, {{"_", "-"}});
  for (const FieldDescriptor* field : OptionsOf(command)) {
    if (FlagName(*field) == dashed) return field;
    const std::string& alias = GetOptionInfo(*field).alias();
    if (!alias.empty() && alias == dashed) return field;
  }
  return nullptr;
}

const FieldDescriptor* FindShortName(Command command, absl::string_view name) {
  for (const FieldDescriptor* field : OptionsOf(command)) {
    const std::string& short_name = GetOptionInfo(*field).short_name();
    if (!short_name.empty() && short_name == name) return field;
  }
  return nullptr;
}

absl::Status UnknownName(absl::string_view kind, absl::string_view name, Command command) {
  std::vector<std::string> known;
  for (const FieldDescriptor* field : OptionsOf(command)) known.push_back(FlagName(*field));
  const std::string nearest = NearestName(name, known);
  const std::string hint =
      nearest.empty() ? std::string() : absl::StrCat("; did you mean ", kind, nearest, "?");
  return absl::InvalidArgumentError(absl::StrCat("unknown option ", kind, name, hint));
}

// One source of options. A repeated option given here replaces what weaker sources said of it.
class Layer {
 public:
  explicit Layer(Config& config) : config_(config) {}

  // `origin` names the option as the user wrote it.
  absl::Status Set(const FieldDescriptor& field, const std::string& text,
                   absl::string_view origin) {
    if (seen_.insert(&field).second) Config::GetReflection()->ClearField(&config_, &field);
    return Annotate(SetOption(field, text, config_), origin);
  }

  const OptionSet& seen() const { return seen_; }

 private:
  Config& config_;
  OptionSet seen_;
};

absl::Status ReadDefaults(Command command, Config& config) {
  Layer layer(config);
  for (const FieldDescriptor* field : OptionsOf(command)) {
    const std::string& text = GetOptionInfo(*field).default_();
    if (!text.empty()) RETURN_IF_ERROR(layer.Set(*field, text, FlagName(*field)));
  }
  return absl::OkStatus();
}

// Adds what the file names to `given`.
absl::Status ReadConfigFile(Command command, const std::string& path, Config& config,
                            OptionSet& given) {
  YAML::Node root;
  try {  // yaml-cpp reports by exceptions
    root = YAML::LoadFile(path);
  } catch (const YAML::BadFile&) {
    return absl::NotFoundError(absl::StrCat("cannot read configuration file ", path));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  if (root.IsNull()) return absl::OkStatus();
  if (!root.IsMap()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected a mapping of options"));
  }
  Layer layer(config);
  for (const auto& entry : root) {
    if (!entry.first.IsScalar()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": an option's name must be a word"));
    }
    const std::string key = entry.first.Scalar();
    const FieldDescriptor* field = FindLongName(command, key);
    if (field == nullptr) return Annotate(UnknownName("", key, command), path);
    const std::string origin = absl::StrCat(path, ": ", key);
    const bool is_list = entry.second.IsSequence() && field->is_repeated();
    if (!is_list && !entry.second.IsScalar()) {
      return absl::InvalidArgumentError(absl::StrCat(origin, ": expected a single value"));
    }
    if (!is_list) RETURN_IF_ERROR(layer.Set(*field, entry.second.Scalar(), origin));
    for (size_t i = 0; is_list && i < entry.second.size(); ++i) {
      if (!entry.second[i].IsScalar()) {
        return absl::InvalidArgumentError(absl::StrCat(origin, ": expected a list of words"));
      }
      RETURN_IF_ERROR(layer.Set(*field, entry.second[i].Scalar(), origin));
    }
  }
  given.insert(layer.seen().begin(), layer.seen().end());
  return absl::OkStatus();
}

absl::Status ReadEnvironment(Command command, const Environment& environment, Config& config) {
  Layer layer(config);
  for (const FieldDescriptor* field : OptionsOf(command)) {
    const std::string name = EnvironmentName(*field);
    const std::optional<std::string> value = environment(name);
    if (!value) continue;
    // Kubernetes injects TANDEM_PORT=tcp://... into pods beside a Service called tandem.
    if (absl::StrContains(*value, "tcp://")) {
      LOG(WARNING) << "ignoring environment variable " << name << "=" << *value
                   << ", which looks like a Kubernetes service link";
      continue;
    }
    RETURN_IF_ERROR(layer.Set(*field, *value, name));
  }
  return absl::OkStatus();
}

// Finds the option that `flag` ("--x", "--no-x", "-x") names; `value` becomes "false" for "--no-x".
absl::StatusOr<const FieldDescriptor*> FindFlag(Command command, absl::string_view flag,
                                                std::optional<std::string>& value) {
  const bool is_long = absl::StartsWith(flag, "--");
  const absl::string_view name = flag.substr(is_long ? 2 : 1);
  const FieldDescriptor* field =
      is_long ? FindLongName(command, name) : FindShortName(command, name);
  if (field == nullptr && is_long && !value && absl::StartsWith(name, "no-")) {
    field = FindLongName(command, name.substr(3));
    if (field != nullptr && field->type() == FieldDescriptor::TYPE_BOOL) {
      value = "false";
    } else {
      field = nullptr;
    }
  }
  if (field == nullptr) return UnknownName(is_long ? "--" : "-", name, command);
  return field;
}

bool IsFlag(const std::string& arg) { return arg.size() >= 2 && arg[0] == '-'; }

const FieldDescriptor* FindPositional(Command command) {
  for (const FieldDescriptor* field : OptionsOf(command)) {
    if (GetOptionInfo(*field).positional()) return field;
  }
  return nullptr;
}

// Adds what `args` name to `given`.
absl::Status ReadArgs(Command command, const std::vector<std::string>& args, Config& config,
                      OptionSet& given) {
  Layer layer(config);
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (!IsFlag(arg)) {
      const FieldDescriptor* positional = FindPositional(command);
      if (positional == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("unexpected argument \"", arg, "\""));
      }
      RETURN_IF_ERROR(layer.Set(*positional, arg, arg));
      continue;
    }
    const std::string flag = arg.substr(0, arg.find('='));
    std::optional<std::string> value;
    if (flag.size() < arg.size()) value = arg.substr(flag.size() + 1);
    ASSIGN_OR_RETURN(const FieldDescriptor* field, FindFlag(command, flag, value));
    if (!value && field->type() == FieldDescriptor::TYPE_BOOL) value = "true";
    if (!value && i + 1 < args.size()) value = args[++i];
    if (!value) return absl::InvalidArgumentError(absl::StrCat("option ", flag, " needs a value"));
    RETURN_IF_ERROR(layer.Set(*field, *value, absl::StrCat("option ", flag)));
    while (GetOptionInfo(*field).greedy() && i + 1 < args.size() && !IsFlag(args[i + 1])) {
      RETURN_IF_ERROR(layer.Set(*field, args[++i], absl::StrCat("option ", flag)));
    }
  }
  given.insert(layer.seen().begin(), layer.seen().end());
  return absl::OkStatus();
}

}  // namespace

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

absl::StatusOr<Config> LoadConfig(Command command, const std::vector<std::string>& args,
                                  const Environment& environment) {
  // The file is named by a stronger source than itself, so those are read twice.
  Config stronger;
  OptionSet given;  // not in the environment, which all commands share
  RETURN_IF_ERROR(ReadEnvironment(command, environment, stronger));
  RETURN_IF_ERROR(ReadArgs(command, args, stronger, given));

  Config config;
  RETURN_IF_ERROR(ReadDefaults(command, config));
  if (!stronger.config().empty()) {
    RETURN_IF_ERROR(ReadConfigFile(command, stronger.config(), config, given));
  }
  RETURN_IF_ERROR(ReadEnvironment(command, environment, config));
  RETURN_IF_ERROR(ReadArgs(command, args, config, given));
  RETURN_IF_ERROR(CheckGoTogether(command, config, given));
  return config;
}

std::string ConfigYaml(Command command, const Config& config) {
  YAML::Emitter yaml;
  yaml << YAML::BeginMap;
  for (const FieldDescriptor* field : OptionsOf(command)) {
    if (field->name() == "config" || field->name() == "print_config") continue;
    yaml << YAML::Key << FlagName(*field) << YAML::Value;
    if (!field->is_repeated()) {
      const std::string text = OptionText(*field, config);
      field->type() == FieldDescriptor::TYPE_STRING ? yaml << YAML::DoubleQuoted << text
                                                    : yaml << text;
      continue;
    }
    yaml << YAML::Flow << YAML::BeginSeq;
    for (int i = 0; i < Config::GetReflection()->FieldSize(config, field); ++i) {
      yaml << YAML::DoubleQuoted << OptionText(*field, config, i);
    }
    yaml << YAML::EndSeq;
  }
  yaml << YAML::EndMap;
  return absl::StrCat(yaml.c_str(), "\n");
}

std::string NearestName(absl::string_view name, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;  // farther than this is no help
  for (const std::string& candidate : candidates) {
    // Levenshtein distance, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < name.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i + 1);
      for (size_t j = 0; j < candidate.size(); ++j) {
        const size_t substituted = diagonal + (name[i] != candidate[j]);
        diagonal = row[j + 1];
        row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
      }
    }
    if (row.back() < best) {
      best = row.back();
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace tandem
