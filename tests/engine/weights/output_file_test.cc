#include "engine/weights/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

// Files of this process cannot become larger than `bytes` while it lives: a disk that is full.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit = {bytes, old_limit_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  void (*const old_handler_)(int);
  rlimit old_limit_;
};

class OutputFileTest : public testing::Test {
 protected:
  void ExpectFull(const absl::Status& status) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
    EXPECT_FALSE(std::filesystem::exists(path_));
  }

  const TempFolder folder_;
  const std::string path_ = folder_.path() + "/file";
};

TEST_F(OutputFileTest, ReportsAFullDiskBeforeTheWork) {
  const FileSizeLimit limit(1000);
  ExpectFull(OutputFile::Create(path_, 100000, false).status());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(OutputFileTest, ReportsADiskThatFillsUp) {
  const FileSizeLimit limit(1000);
  {
    const auto file = OutputFile::Create(path_, 0, false);
    ASSERT_TRUE(file.ok()) << file.status();
    ExpectFull((*file)->Append(std::vector<uint8_t>(100000)));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(OutputFileTest, IsReadableAsOtherNewFilesAre) {
  const auto file = OutputFile::Create(path_, 0, false);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Commit().ok());
  const std::string other = folder_.Write("other", "");
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            std::filesystem::status(other).permissions());
}

}  // namespace
}  // namespace tandem
