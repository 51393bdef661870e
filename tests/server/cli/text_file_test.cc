#include "server/cli/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace tandem {
namespace {

using ::testing::HasSubstr;

std::string PathOf(const std::string& name) { return ::testing::TempDir() + "/text_file_" + name; }

absl::Status Write(const std::string& path, const std::string& text) {
  return WriteFile(path, [&text](std::ostream& out) { out << text; });
}

TEST(TextFileTest, ReadsWhatItWrote) {
  const std::string long_text(200'000, 'x');
  for (const std::string& text : {std::string(), std::string("a\0\r\n", 4), long_text}) {
    ASSERT_EQ(Write(PathOf("written"), text), absl::OkStatus());
    EXPECT_EQ(*ReadFile(PathOf("written")), text);
  }
}

TEST(TextFileTest, SaysWhyAFileCannotBeRead) {
  const absl::Status missing = ReadFile("/none/such").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr("cannot read /none/such: No such file or directory"));
  const absl::Status folder = ReadFile(::testing::TempDir()).status();
  EXPECT_THAT(std::string(folder.message()), HasSubstr("Is a directory"));
}

TEST(TextFileTest, SaysWhyAFileCannotBeWritten) {
  EXPECT_THAT(std::string(Write("/none/such", "a").message()),
              HasSubstr("cannot write /none/such: No such file or directory"));
  EXPECT_THAT(std::string(CheckWritable("/none/such").message()),
              HasSubstr("cannot write /none/such: No such file or directory"));
  EXPECT_THAT(std::string(Write("/dev/full", "a").message()), HasSubstr("No space left"));
}

TEST(TextFileTest, AskingWhetherAFileCanBeWrittenKeepsWhatItHas) {
  const std::string path = PathOf("kept");
  ASSERT_EQ(Write(path, "kept"), absl::OkStatus());
  EXPECT_EQ(CheckWritable(path), absl::OkStatus());
  EXPECT_EQ(*ReadFile(path), "kept");
  std::filesystem::remove(path);
  EXPECT_EQ(CheckWritable(path), absl::OkStatus());
  EXPECT_EQ(*ReadFile(path), "");
}

}  // namespace
}  // namespace tandem
