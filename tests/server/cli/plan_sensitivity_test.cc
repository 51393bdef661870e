#include "server/cli/plan_sensitivity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/server/cli/planner_fixture.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PlanSensitivityTest, TellsWhatTheWinnersGoodputHangsOn) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--requests", "60", "--seeds", "1"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const auto base = planner->Rank(planner->Candidates(), {}, {});
  ASSERT_TRUE(base.ok() && base->HasWinner());
  ASSERT_TRUE(base->ranked.front().placement.IsDisaggregated());
  const auto sensitivity = FindSensitivity(*planner, *base, [](int, int) {});
  ASSERT_TRUE(sensitivity.ok()) << sensitivity.status();
  std::vector<std::string> names;
  for (const SensitivityRow& row : sensitivity->rows) names.push_back(row.name);
  EXPECT_THAT(names, ElementsAre("prefill ms per token", "decode ms", "KV capacity",
                                 "link bandwidth", "prompt tokens", "output tokens", "targets"));
  EXPECT_THAT(sensitivity->rivals, ElementsAre("2 mixed"))
      << "one mixed serves far less per device";
  const SensitivityRow& token = sensitivity->rows[0];
  EXPECT_GT(token.less.change, 0.05);
  EXPECT_LT(token.more.change, -0.05);
  EXPECT_NEAR(sensitivity->rows[2].more.change, 0, 0.02) << "there is KV enough";
  EXPECT_THAT(SensitivityTable(*sensitivity), HasSubstr("prefill ms per token"));
  EXPECT_EQ(SensitivityJson(*sensitivity)["rows"].size(), 7);
}

TEST(PlanSensitivityTest, SaysWhoIsBetterThen) {
  const auto planner = MakePlanner({MadeUpProfile()}, {"--seeds", "4", "--requests", "60"});
  ASSERT_TRUE(planner.ok()) << planner.status();
  ClusterRanking base = *planner->Rank(planner->Candidates(), {}, {});
  // Made to win, though it serves less.
  std::reverse(base.ranked.begin(), base.ranked.end());
  const auto sensitivity = FindSensitivity(*planner, base, [](int, int) {});
  ASSERT_TRUE(sensitivity.ok()) << sensitivity.status();
  EXPECT_EQ(sensitivity->rows[0].less.overtaken, "1 prefill + 1 decode");
  EXPECT_THAT(SensitivityTable(*sensitivity), HasSubstr("it does not always win"));
}

}  // namespace
}  // namespace tandem
