#include "server/cli/option_value.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using google::protobuf::FieldDescriptor;

struct Suffix {
  absl::string_view name;
  double factor;
};
constexpr Suffix kByteSuffixes[] = {
    {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
    {"KB", 1e3},     {"MB", 1e6},        {"GB", 1e9},           {"TB", 1e12},
    {"K", 1024.0},   {"M", 1048576.0},   {"G", 1073741824.0},   {"B", 1.0},
};
constexpr Suffix kTimeSuffixes[] = {
    {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"m", 60.0}, {"h", 3600.0}};

// "4GiB" -> (4, factor of GiB); the factor is 1 without a suffix.
std::pair<absl::string_view, double> SplitSuffix(absl::string_view text, Unit unit) {
  absl::Span<const Suffix> suffixes;
  if (unit == BYTES) suffixes = kByteSuffixes;
  if (unit == SECONDS) suffixes = kTimeSuffixes;
  for (const Suffix& suffix : suffixes) {
    if (absl::EndsWithIgnoreCase(text, suffix.name)) {
      text.remove_suffix(suffix.name.size());
      return {absl::StripAsciiWhitespace(text), suffix.factor};
    }
  }
  return {text, 1.0};
}

absl::Status Malformed(absl::string_view expected, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("expected ", expected, ", got \"", text, "\""));
}

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  for (absl::string_view yes : {"true", "1", "on", "yes", "enabled"}) {
    if (absl::EqualsIgnoreCase(text, yes)) return true;
  }
  for (absl::string_view no : {"false", "0", "off", "no", "disabled"}) {
    if (absl::EqualsIgnoreCase(text, no)) return false;
  }
  return Malformed("true or false", text);
}

// Whole numbers with all their digits.
std::string NumberText(double value) {
  constexpr double kExact = 9e15;
  const bool is_whole = std::abs(value) < kExact && value == std::floor(value);
  return is_whole ? absl::StrCat(static_cast<int64_t>(value)) : absl::StrCat(value);
}

absl::StatusOr<double> ParseNumber(const OptionInfo& info, absl::string_view text) {
  const auto [digits, factor] = SplitSuffix(absl::StripAsciiWhitespace(text), info.unit());
  double value = 0;
  if (!absl::SimpleAtod(digits, &value) || !std::isfinite(value)) {
    switch (info.unit()) {
      case BYTES:
        return Malformed("a number of bytes such as 512MiB", text);
      case SECONDS:
        return Malformed("a time such as 500ms or 30s", text);
      default:
        return Malformed("a number", text);
    }
  }
  value *= factor;
  if (info.has_min() && value < info.min()) {
    return Malformed(absl::StrCat("at least ", NumberText(info.min())), text);
  }
  if (info.has_max() && value > info.max()) {
    return Malformed(absl::StrCat("at most ", NumberText(info.max())), text);
  }
  return value;
}

absl::StatusOr<int64_t> ParseInteger(const OptionInfo& info, absl::string_view text) {
  ASSIGN_OR_RETURN(const double value, ParseNumber(info, text));
  if (value != std::floor(value) || std::abs(value) > 9e15)
    return Malformed("a whole number", text);
  return static_cast<int64_t>(value);
}

absl::Status CheckChoice(const OptionInfo& info, const std::string& text) {
  const auto& choices = info.choices();
  if (choices.empty() || std::find(choices.begin(), choices.end(), text) != choices.end()) {
    return absl::OkStatus();
  }
  return Malformed(absl::StrCat("one of ", absl::StrJoin(choices, ", ")), text);
}

}  // namespace

const OptionInfo& GetOptionInfo(const FieldDescriptor& field) {
  return field.options().GetExtension(option);
}

std::string FlagName(const FieldDescriptor& field) {
  return absl::StrReplaceAll(std::string(field.name()), {{"_", "-"}});
}

absl::StatusOr<double> ParseQuantity(Unit unit, absl::string_view text) {
  OptionInfo info;
  info.set_unit(unit);
  return ParseNumber(info, text);
}

absl::Status SetOption(const FieldDescriptor& field, const std::string& text, Config& config) {
  const OptionInfo& info = GetOptionInfo(field);
  const auto* reflection = Config::GetReflection();
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL: {
      ASSIGN_OR_RETURN(const bool value, ParseBool(text));
      reflection->SetBool(&config, &field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::TYPE_INT64: {
      ASSIGN_OR_RETURN(const int64_t value, ParseInteger(info, text));
      reflection->SetInt64(&config, &field, value);
      return absl::OkStatus();
    }
    case FieldDescriptor::TYPE_DOUBLE: {
      ASSIGN_OR_RETURN(const double value, ParseNumber(info, text));
      reflection->SetDouble(&config, &field, value);
      return absl::OkStatus();
    }
    default: {  // config.proto has no other type than string
      RETURN_IF_ERROR(CheckChoice(info, text));
      if (field.is_repeated()) {
        reflection->AddString(&config, &field, text);
      } else {
        reflection->SetString(&config, &field, text);
      }
      return absl::OkStatus();
    }
  }
}

std::string OptionText(const FieldDescriptor& field, const Config& config, int index) {
  const auto* reflection = Config::GetReflection();
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return reflection->GetBool(config, &field) ? "true" : "false";
    case FieldDescriptor::TYPE_INT64:
      return absl::StrCat(reflection->GetInt64(config, &field));
    case FieldDescriptor::TYPE_DOUBLE:
      return absl::StrCat(reflection->GetDouble(config, &field));
    default:
      return field.is_repeated() ? reflection->GetRepeatedString(config, &field, index)
                                 : reflection->GetString(config, &field);
  }
}

bool IsDefault(const FieldDescriptor& field, const Config& config) {
  if (field.is_repeated()) return Config::GetReflection()->FieldSize(config, &field) == 0;
  Config defaults;
  const std::string& text = GetOptionInfo(field).default_();
  if (!text.empty()) CHECK_OK(SetOption(field, text, defaults));
  return OptionText(field, config) == OptionText(field, defaults);
}

absl::StatusOr<std::vector<double>> ParseRates(const Config& config) {
  constexpr double kLeast = 1e-6;  // a request in 12 days
  std::vector<double> rates;
  for (absl::string_view word : absl::StrSplit(config.rates(), ',', absl::SkipEmpty())) {
    double rate = 0;
    if (!absl::SimpleAtod(word, &rate) || !(rate >= kLeast)) {
      return absl::InvalidArgumentError(absl::StrCat("option --rates: expected numbers from ",
                                                     kLeast, " on such as 2,4.5, or inf, got \"",
                                                     word, "\""));
    }
    rates.push_back(rate);
  }
  return rates;
}

}  // namespace tandem
