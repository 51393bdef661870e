#include "server/cli/option_help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/cli/option_readers.h"
#include "server/cli/option_value.h"
#include "tests/server/cli/all_commands.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(OptionHelpTest, EveryLineOfEveryCommandFitsATerminal) {
  for (const Command command : AllCommands()) {
    const std::vector<std::string> lines = absl::StrSplit(OptionHelp(command), '\n');
    for (const std::string& line : lines) EXPECT_LE(line.size(), 80) << line;
  }
}

TEST(OptionHelpTest, EveryOptionOfEveryCommandIsListed) {
  for (const Command command : AllCommands()) {
    const std::string help = OptionHelp(command);
    for (const auto* field : OptionsOf(command)) {
      const OptionInfo& info = GetOptionInfo(*field);
      const std::string dashes = info.default_() == "true" ? "--[no-]" : "--";
      EXPECT_THAT(help, HasSubstr(info.positional() ? info.value()
                                                    : absl::StrCat(dashes, FlagName(*field))));
    }
  }
}

TEST(OptionHelpTest, SectionsHeadTheOptionsThatTheCommandHas) {
  const std::string help = OptionHelp(QUANTIZE);
  EXPECT_THAT(help, HasSubstr("\nModel:\n  -m, --model PATH"));
  EXPECT_THAT(help, HasSubstr("\nFiles:\n  -o, --output FILE"));
  EXPECT_THAT(help, Not(HasSubstr("Network:")));
}

TEST(OptionHelpTest, TellsDefaultsChoicesAndWhatAnOptionNeeds) {
  EXPECT_THAT(OptionHelp(SERVE), HasSubstr("HTTP port; 0 takes a free one and prints it [8000]"));
  EXPECT_THAT(OptionHelp(QUANTIZE), HasSubstr("q4_0) [q8_0]"));
  EXPECT_THAT(OptionHelp(PLAN), HasSubstr("(only with --theory)"));
  EXPECT_THAT(OptionHelp(SIMULATE), HasSubstr("(only with --search)"));
}

TEST(OptionHelpTest, ALongNameStandsOnALineOfItsOwn) {
  EXPECT_THAT(OptionHelp(SERVE), HasSubstr("      --max-num-batched-tokens TOKENS\n     "));
}

}  // namespace
}  // namespace tandem
