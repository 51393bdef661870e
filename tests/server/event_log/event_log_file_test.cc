#include "server/event_log/event_log_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(EventLogFileTest, NamesTellInstancesAndStartsApart) {
  EXPECT_EQ(InstanceLogPath("logs", "decode-0", 18446744073709551615u),
            "logs/decode-0-18446744073709551615.jsonl");
  EXPECT_EQ(RouterLogPath("logs", absl::FromUnixMillis(1764154446123)),
            "logs/router-20251126T105406.123Z.jsonl");
}

TEST(EventLogFileTest, HoldsAllLinesOfAllThreadsInAFolderThatItMakes) {
  const TempFolder folder;
  const std::string path = folder.path() + "/deep/er/log.jsonl";
  {
    auto file = EventLogFile::Create(path);
    ASSERT_TRUE(file.ok()) << file.status();
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&file, thread] {
        for (int i = 0; i < 5000; ++i) (*file)->Append(absl::StrCat("line ", thread, "\n"));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  int counts[4] = {};
  for (absl::string_view line : absl::StrSplit(ReadAll(path), '\n', absl::SkipEmpty())) {
    ASSERT_EQ(line.size(), 6u) << line;
    ++counts[line.back() - '0'];
  }
  for (int count : counts) EXPECT_EQ(count, 5000);
}

TEST(EventLogFileTest, OnlyItsUserCanReadIt) {
  const TempFolder folder;
  const std::string path = folder.path() + "/log.jsonl";
  ASSERT_TRUE(EventLogFile::Create(path).ok());
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(EventLogFileTest, FileThatCannotBeMadeIsNamed) {
  const TempFolder folder;
  const std::string file = folder.Write("file", "");
  const auto below_a_file = EventLogFile::Create(file + "/log.jsonl");
  EXPECT_THAT(std::string(below_a_file.status().message()),
              HasSubstr("cannot write the event log " + file + "/log.jsonl"));
  EXPECT_EQ(EventLogFile::Create(file).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(EventLogFileDeathTest, FullDiskEndsTheLogWithOneWarningAndNothingElse) {
  const TempFolder folder;
  const auto fill = [&folder] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 1 << 20, .rlim_max = 1 << 20};  // of each file: a small disk
    setrlimit(RLIMIT_FSIZE, &limit);
    {
      auto file = EventLogFile::Create(folder.path() + "/log.jsonl");
      if (!file.ok()) std::exit(1);
      for (int i = 0; i < 3000; ++i) (*file)->Append(std::string(1000, 'x'));
    }
    std::exit(0);
  };
  EXPECT_EXIT(fill(), ::testing::ExitedWithCode(0), "log.jsonl ends here: File too large\n$");
  EXPECT_EQ(ReadAll(folder.path() + "/log.jsonl").size(), size_t{1} << 20);
}

}  // namespace
}  // namespace tandem
