#include "server/cli/option_value.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
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

constexpr absl::string_view kAuto = "auto";

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

absl::Span<const Suffix> SuffixesOf(Unit unit) {
  if (unit == BYTES) return kByteSuffixes;
  if (unit == SECONDS) return kTimeSuffixes;
  return {};
}

// "4GiB" -> (4, factor of GiB); the factor is 1 without a suffix.
std::pair<absl::string_view, double> SplitSuffix(absl::string_view text, Unit unit) {
  for (const Suffix& suffix : SuffixesOf(unit)) {
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

// The whole number of the largest unit that says it exactly: "1KiB", "500ms", "65535".
std::string QuantityText(Unit unit, double value) {
  const Suffix* best = nullptr;
  for (const Suffix& suffix : SuffixesOf(unit)) {
    const double count = std::round(value / suffix.factor);
    const bool is_exact = count >= 1 && std::abs(count * suffix.factor - value) <= 1e-9 * value;
    if (is_exact && (best == nullptr || suffix.factor > best->factor)) best = &suffix;
  }
  const double count = best == nullptr ? value : std::round(value / best->factor);
  constexpr double kExact = 9e15;
  const bool is_whole = std::abs(count) < kExact && count == std::floor(count);
  return absl::StrCat(is_whole ? absl::StrCat(static_cast<int64_t>(count)) : absl::StrCat(count),
                      best == nullptr ? "" : best->name);
}

// "a whole number from 1 to 1024", "a time such as 30s, from 2s to 1h, or auto".
std::string Expected(const OptionInfo& info, bool is_whole) {
  std::string text = info.unit() == BYTES     ? "a number of bytes such as 512MiB,"
                     : info.unit() == SECONDS ? "a time such as 500ms or 30s,"
                     : is_whole               ? "a whole number"
                                              : "a number";
  if (info.is_list()) {
    text =
        is_whole ? "whole numbers with commas between them," : "numbers with commas between them,";
  }
  if (info.has_min()) {
    absl::StrAppend(&text, " from ", QuantityText(info.unit(), info.min()));
    absl::StrAppend(&text, std::isinf(info.max())
                               ? std::string(" on, or inf")
                               : absl::StrCat(" to ", QuantityText(info.unit(), info.max())));
  }
  if (absl::EndsWith(text, ",")) text.pop_back();
  if (info.has_auto_value()) absl::StrAppend(&text, ", or auto");
  return text;
}

// A number in the unit of `info` and within its range; none where `text` is no such number.
std::optional<double> ParseNumber(const OptionInfo& info, absl::string_view text, bool is_whole) {
  const auto [digits, factor] = SplitSuffix(absl::StripAsciiWhitespace(text), info.unit());
  double value = 0;
  if (!absl::SimpleAtod(digits, &value) || std::isnan(value)) return std::nullopt;
  value *= factor;
  constexpr double kMostWhole = 9e15;  // beyond that a double skips some
  if (is_whole && (value != std::floor(value) || std::abs(value) > kMostWhole)) return std::nullopt;
  if (std::isinf(value) && !std::isinf(info.max())) return std::nullopt;
  if (info.has_min() && value < info.min()) return std::nullopt;
  if (info.has_max() && value > info.max()) return std::nullopt;
  return value;
}

// A field's number, or that of "auto".
absl::StatusOr<double> ParseField(const OptionInfo& info, absl::string_view text, bool is_whole) {
  if (info.has_auto_value() && absl::EqualsIgnoreCase(text, kAuto)) {
    return static_cast<double>(info.auto_value());
  }
  const std::optional<double> value = ParseNumber(info, text, is_whole);
  if (!value) return Malformed(Expected(info, is_whole), text);
  return *value;
}

absl::Status CheckList(const OptionInfo& info, const std::string& text) {
  if (!info.is_list()) return absl::OkStatus();
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    if (!ParseNumber(info, part, info.is_whole())) {
      return Malformed(Expected(info, info.is_whole()), text);
    }
  }
  return absl::OkStatus();
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

std::string EnvironmentName(const FieldDescriptor& field) {
  return absl::StrCat("TANDEM_", absl::AsciiStrToUpper(field.name()));
}

absl::StatusOr<double> ParseQuantity(Unit unit, absl::string_view text) {
  OptionInfo info;
  info.set_unit(unit);
  return ParseField(info, text, /*is_whole=*/false);
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
      ASSIGN_OR_RETURN(const double value, ParseField(info, text, /*is_whole=*/true));
      reflection->SetInt64(&config, &field, static_cast<int64_t>(value));
      return absl::OkStatus();
    }
    case FieldDescriptor::TYPE_DOUBLE: {
      ASSIGN_OR_RETURN(const double value, ParseField(info, text, /*is_whole=*/false));
      reflection->SetDouble(&config, &field, value);
      return absl::OkStatus();
    }
    default: {  // config.proto has no other type than string
      RETURN_IF_ERROR(CheckChoice(info, text));
      RETURN_IF_ERROR(CheckList(info, text));
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
    case FieldDescriptor::TYPE_INT64: {
      const OptionInfo& info = GetOptionInfo(field);
      const int64_t value = reflection->GetInt64(config, &field);
      if (info.has_auto_value() && value == info.auto_value()) return std::string(kAuto);
      return absl::StrCat(value);
    }
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

std::vector<double> NumbersOf(const std::string& list) {
  std::vector<double> numbers;
  for (absl::string_view part : absl::StrSplit(list, ',', absl::SkipWhitespace())) {
    CHECK(absl::SimpleAtod(part, &numbers.emplace_back())) << part;  // SetOption has seen to it
  }
  return numbers;
}

}  // namespace tandem
