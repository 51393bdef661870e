#include "engine/tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tandem {
namespace {

using ::nlohmann::ordered_json;
using ::testing::HasSubstr;

ordered_json ReadGolden(const std::string& name) {
  std::ifstream file(absl::StrCat(TANDEM_SOURCE_DIR, "/tests/golden/chat_template/", name));
  EXPECT_TRUE(file.good()) << name;
  return ordered_json::parse(file);
}

absl::StatusOr<std::string> Render(const std::string& source, const ordered_json& variables,
                                   int64_t now = 0) {
  const auto chat_template = ChatTemplate::Parse(source);
  if (!chat_template.ok()) return chat_template.status();
  return (*chat_template)->Render(variables, absl::FromUnixSeconds(now));
}

TEST(ChatTemplateTest, RendersWhatJinja2Renders) {
  const ordered_json golden = ReadGolden("jinja_cases.json");
  for (const ordered_json& test_case : golden["cases"]) {
    SCOPED_TRACE(absl::StrCat(test_case["topic"].get<std::string>(), ": ",
                              test_case["template"].get<std::string>()));
    const absl::StatusOr<std::string> text =
        Render(test_case["template"], golden["variables"], golden["now"].get<int64_t>());
    if (test_case.contains("text")) {
      EXPECT_TRUE(text.ok()) << text.status();
      if (!text.ok()) continue;
      EXPECT_EQ(*text, test_case["text"].get<std::string>());
    } else {
      EXPECT_FALSE(text.ok()) << "renders " << *text << ", jinja2 fails with "
                              << test_case["error"];
    }
  }
}

}  // namespace
}  // namespace tandem
