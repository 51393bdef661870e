// Reads proto/config.proto's options from command line, environment, YAML file and defaults, in
// that order of precedence. Nothing here knows a single option by name but `config`.
//
//   ASSIGN_OR_RETURN(const Config config, LoadConfig(SERVE, args, ProcessEnvironment()));
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/config.pb.h"

namespace tandem {

// The value of an environment variable, or none. ProcessEnvironment is the one place that reads the
// process's: options may come from there, and so does the place of the cache folder.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment ProcessEnvironment();

// INVALID_ARGUMENT names the flag, variable or key that is unknown (with the nearest known one),
// has no value, whose value is malformed or out of range, or that says nothing to the others that
// are given (option_readers.h); NOT_FOUND a configuration file that is not there.
absl::StatusOr<Config> LoadConfig(Command command, const std::vector<std::string>& args,
                                  const Environment& environment);

// The options of `command` with their values, as a YAML file that --config takes.
std::string ConfigYaml(Command command, const Config& config);

// The candidate with the smallest edit distance to `name`, or empty where none is near.
std::string NearestName(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace tandem
