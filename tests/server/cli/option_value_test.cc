#include "server/cli/option_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/cli/config_loader.h"
#include "server/cli/option_readers.h"
#include "tests/server/cli/all_commands.h"

namespace tandem {
namespace {

using ::google::protobuf::FieldDescriptor;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool IsWhole(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_INT64 || GetOptionInfo(field).is_whole();
}

bool IsNumeric(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_INT64 ||
         field.type() == FieldDescriptor::TYPE_DOUBLE || GetOptionInfo(field).is_list();
}

// The numbers and lists of numbers among the options of a command.
std::vector<const FieldDescriptor*> NumericOptionsOf(Command command) {
  std::vector<const FieldDescriptor*> numeric;
  for (const FieldDescriptor* field : OptionsOf(command)) {
    if (IsNumeric(*field)) numeric.push_back(field);
  }
  return numeric;
}

std::string Text(double value) { return absl::StrFormat("%.17g", value); }

// What is no number, and what lies just outside of the range, in the option's own unit.
std::vector<std::string> BadValues(const FieldDescriptor& field) {
  const OptionInfo& info = GetOptionInfo(field);
  const bool is_whole = IsWhole(field);
  const double below = is_whole ? info.min() - 1 : info.min() - 1e-3 * info.min() - 1e-9;
  std::vector<std::string> values = {"-1", "x", "nan", Text(below)};
  if (!std::isinf(info.max())) {
    values.push_back("inf");
    values.push_back(Text(is_whole ? info.max() + 1 : info.max() * 1.001 + 1e-9));
  }
  if (is_whole) values.push_back(Text(info.min() + 0.5));
  if (!info.is_list()) values.push_back("");
  return values;
}

TEST(OptionValueTest, EveryNumberOfEveryCommandHasARange) {
  EXPECT_EQ(AllCommands().size(), 13);
  for (const Command command : AllCommands()) {
    for (const FieldDescriptor* field : NumericOptionsOf(command)) {
      const OptionInfo& info = GetOptionInfo(*field);
      EXPECT_TRUE(info.has_min() && info.has_max()) << field->name();
      EXPECT_GE(info.min(), 0) << field->name();
      EXPECT_GT(info.max(), info.min()) << field->name();
    }
  }
}

TEST(OptionValueTest, EveryListOfNumbersIsDeclaredAsOne) {
  for (const Command command : AllCommands()) {
    for (const FieldDescriptor* field : OptionsOf(command)) {
      const OptionInfo& info = GetOptionInfo(*field);
      if (info.value() != "LIST" || info.is_list()) continue;
      // These have parsers of their own.
      EXPECT_THAT(field->name(), AnyOf("batches", "cpus", "crossover"));
    }
  }
}

TEST(OptionValueTest, WhatIsOutOfRangeIsRefusedByNameAndValueInEveryCommand) {
  const auto no_environment = [](const std::string&) { return std::nullopt; };
  for (const Command command : AllCommands()) {
    for (const FieldDescriptor* field : NumericOptionsOf(command)) {
      for (const std::string& value : BadValues(*field)) {
        const std::string flag = absl::StrCat("--", FlagName(*field));
        const auto config = LoadConfig(command, {absl::StrCat(flag, "=", value)}, no_environment);
        EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument)
            << Command_Name(command) << " " << flag << "=" << value;
        const std::string message(config.status().message());
        EXPECT_THAT(message, HasSubstr(absl::StrCat("option ", flag, ": expected ")));
        EXPECT_THAT(message, HasSubstr(" from "));
        EXPECT_THAT(message, HasSubstr(absl::StrCat("got \"", value, "\"")));
      }
    }
  }
}

TEST(OptionValueTest, BothEndsOfEveryRangeAreTaken) {
  for (const Command command : AllCommands()) {
    for (const FieldDescriptor* field : NumericOptionsOf(command)) {
      for (const double value : {GetOptionInfo(*field).min(), GetOptionInfo(*field).max()}) {
        Config config;
        EXPECT_TRUE(SetOption(*field, Text(value), config).ok()) << field->name() << " " << value;
      }
    }
  }
}

std::string ErrorOf(const char* name, const std::string& text) {
  Config config;
  return std::string(
      SetOption(*Config::descriptor()->FindFieldByName(name), text, config).message());
}

TEST(OptionValueTest, ErrorsSayTheRangeInTheOptionsUnit) {
  EXPECT_EQ(ErrorOf("port", "70000"), "expected a whole number from 0 to 65535, got \"70000\"");
  EXPECT_EQ(ErrorOf("kv_lease", "1s"),
            "expected a time such as 500ms or 30s, from 2s to 1h, got \"1s\"");
  EXPECT_EQ(ErrorOf("max_body_bytes", "0"),
            "expected a number of bytes such as 512MiB, from 1KiB to 1000TB, got \"0\"");
  EXPECT_EQ(ErrorOf("prefill", "-1"),
            "expected a whole number from 0 to 1024, or auto, got \"-1\"");
  EXPECT_EQ(ErrorOf("rates", "1,0"),
            "expected numbers with commas between them, from 1e-06 on, or inf, got \"1,0\"");
}

TEST(OptionValueTest, AutoStandsForAValueOutsideOfTheRange) {
  const FieldDescriptor& prefill = *Config::descriptor()->FindFieldByName("prefill");
  Config config;
  ASSERT_TRUE(SetOption(prefill, "auto", config).ok());
  EXPECT_EQ(config.prefill(), -1);
  EXPECT_EQ(OptionText(prefill, config), "auto");
}

TEST(OptionValueTest, AListIsItsNumbers) {
  EXPECT_THAT(NumbersOf("0.5, 2,inf"), ElementsAre(0.5, 2, HUGE_VAL));
  EXPECT_THAT(NumbersOf(""), IsEmpty());
}

}  // namespace
}  // namespace tandem
