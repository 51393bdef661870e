#include "server/cli/option_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Config WithRates(const char* text) {
  Config config;
  config.set_rates(text);
  return config;
}

TEST(OptionValueTest, RatesArePositiveNumbers) {
  EXPECT_THAT(*ParseRates(WithRates("0.5,inf")), ElementsAre(0.5, HUGE_VAL));
  EXPECT_THAT(*ParseRates(WithRates("")), IsEmpty());
  for (const char* text : {"0", "-1", "1e-308", "2,x", "nan"}) {
    EXPECT_EQ(ParseRates(WithRates(text)).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace tandem
