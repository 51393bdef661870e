#include "server/cli/compat_options.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "server/cli/option_value.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> ReadRequiredFile(absl::string_view option, const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat(option, " is required"));
  return ReadFile(path);
}

}  // namespace

absl::StatusOr<DistServeProfile> LoadCompatProfile(const Config& config) {
  if (config.model().empty()) return absl::InvalidArgumentError("--model is required");
  ASSIGN_OR_RETURN(const std::string json, ReadRequiredFile("--profile", config.profile()));
  ASSIGN_OR_RETURN(const std::string csv, ReadRequiredFile("--kv-capacity", config.kv_capacity()));
  absl::StatusOr<DistServeProfile> profile = DistServeProfile::Parse(json, csv);
  if (!profile.ok()) {
    return Annotate(profile.status(), absl::StrCat("--profile ", config.profile(),
                                                   ", --kv-capacity ", config.kv_capacity()));
  }
  return profile;
}

absl::StatusOr<CompatSlo> ParseCompatSlo(const Config& config) {
  CompatSlo slo = {.ttft_ms = 0,
                   .tpot_ms = 0,
                   .ttft_percentile = config.ttft_percentile(),
                   .tpot_percentile = config.tpot_percentile()};
  const std::string text = absl::StrJoin(config.goodput(), ",");
  for (absl::string_view target : absl::StrSplit(text, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(target, absl::MaxSplits(':', 1));
    double* const ms = parts.first == "ttft"   ? &slo.ttft_ms
                       : parts.first == "tpot" ? &slo.tpot_ms
                                               : nullptr;
    if (ms == nullptr || !absl::SimpleAtod(parts.second, ms) || !(*ms > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("option --goodput: expected targets in ms such as ttft:250,tpot:100, got \"",
                       target, "\""));
    }
  }
  if (slo.ttft_ms == 0 || slo.tpot_ms == 0) {
    return absl::InvalidArgumentError(
        "--goodput needs both targets in ms, such as ttft:250,tpot:100");
  }
  return slo;
}

absl::StatusOr<std::vector<RequestLengths>> LoadCompatLengths(const Config& config,
                                                              int num_synthetic) {
  if (config.lengths().empty() == config.synthetic_lengths().empty()) {
    return absl::InvalidArgumentError("one of --lengths and --synthetic-lengths is required");
  }
  if (config.lengths().empty()) {
    absl::StatusOr<SyntheticLengths> synthetic = ParseSyntheticLengths(config.synthetic_lengths());
    if (!synthetic.ok()) return Annotate(synthetic.status(), "option --synthetic-lengths");
    return synthetic->Make(num_synthetic);
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config.lengths()));
  absl::StatusOr<std::vector<RequestLengths>> lengths = ParseLengths(text);
  if (!lengths.ok()) return Annotate(lengths.status(), config.lengths());
  return lengths;
}

int NumCompatRequests(const Config& config) {
  constexpr int kDistServeRequests = 300;
  return config.requests() > 0 ? static_cast<int>(config.requests()) : kDistServeRequests;
}

absl::StatusOr<std::vector<RequestLengths>> LoadFirstCompatLengths(const Config& config) {
  const auto num_requests = static_cast<size_t>(NumCompatRequests(config));
  ASSIGN_OR_RETURN(std::vector<RequestLengths> lengths,
                   LoadCompatLengths(config, static_cast<int>(num_requests)));
  if (lengths.size() < num_requests) {
    return absl::InvalidArgumentError(absl::StrCat(config.lengths(), " has ", lengths.size(),
                                                   " requests; --requests asks for ",
                                                   num_requests));
  }
  lengths.resize(num_requests);
  return lengths;
}

}  // namespace tandem
