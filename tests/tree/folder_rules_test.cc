// What holds for every file and folder of the tree, whatever it is about.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/tree/source_tree.h"

namespace tandem {
namespace {

using ::testing::IsEmpty;

constexpr int kMaxReadmeLines = 40;
constexpr int kMaxSourceLines = 600;

int64_t NumLines(const SourceFile& file) { return std::ranges::count(file.content, '\n'); }

bool IsCode(const SourceFile& file) {
  return IsCpp(file) || file.path.ends_with(".py") || file.path.ends_with(".sh") ||
         file.path.ends_with(".proto");
}

bool IsUnderOneOf(const std::string& path, const std::vector<std::string>& folders) {
  return std::ranges::any_of(
      folders, [&](const std::string& folder) { return path.starts_with(folder + "/"); });
}

// Folders of code that a reader enters by; an instruction set's or device's own folder is part of
// its parent.
std::set<std::string> FoldersOfCode(const std::vector<SourceFile>& files) {
  std::set<std::string> folders;
  for (const SourceFile& file : files) {
    if (!IsCode(file) ||
        !IsUnderOneOf(file.path, {"engine", "scheduler", "server", "proto", "deploy", "tools"})) {
      continue;
    }
    const std::string folder = file.path.substr(0, file.path.rfind('/'));
    if (!folder.ends_with("/cpu") && !folder.ends_with("/cuda")) folders.insert(folder);
  }
  return folders;
}

TEST(FolderRulesTest, EveryFolderOfCodeHasAReadme) {
  const std::vector<SourceFile> files = ReadSourceTree();
  std::set<std::string> missing = FoldersOfCode(files);
  for (const SourceFile& file : files) {
    if (file.path.ends_with("/README.md")) missing.erase(file.path.substr(0, file.path.rfind('/')));
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(FolderRulesTest, FolderReadmesAreShort) {
  std::vector<std::string> long_ones;
  for (const SourceFile& file : ReadSourceTree()) {
    if (file.path.ends_with("/README.md") && NumLines(file) > kMaxReadmeLines) {
      long_ones.push_back(absl::StrCat(file.path, ": ", NumLines(file), " lines"));
    }
  }
  EXPECT_THAT(long_ones, IsEmpty());
}

TEST(FolderRulesTest, SourcesAreShort) {
  std::vector<std::string> long_ones;
  for (const SourceFile& file : ReadSourceTree()) {
    if (IsCode(file) && NumLines(file) > kMaxSourceLines) {
      long_ones.push_back(absl::StrCat(file.path, ": ", NumLines(file), " lines"));
    }
  }
  EXPECT_THAT(long_ones, IsEmpty());
}

TEST(FolderRulesTest, HeadersAreGuardedByPragmaOnce) {
  std::vector<std::string> unguarded;
  for (const SourceFile& file : ReadSourceTree()) {
    if (file.path.ends_with(".h") && !absl::StrContains(file.content, "#pragma once\n")) {
      unguarded.push_back(file.path);
    }
  }
  EXPECT_THAT(unguarded, IsEmpty());
}

// Only the daemon's own folder and the time stamps of log lines read a clock: schedulers and engine
// get times as arguments, so that simulation and replay drive the very same code.
TEST(FolderRulesTest, NothingBelowServerReadsAClock) {
  std::vector<std::string> readers;
  for (const SourceFile& file : ReadSourceTree()) {
    if (!IsCpp(file) || !IsUnderOneOf(file.path, {"engine", "scheduler"}) ||
        file.path == "engine/core/log.cc") {
      continue;
    }
    for (const char* clock : {"absl::Now(", "_clock::now(", "clock_gettime(", "gettimeofday("}) {
      if (absl::StrContains(file.content, clock))
        readers.push_back(absl::StrCat(file.path, ": ", clock));
    }
  }
  EXPECT_THAT(readers, IsEmpty());
}

TEST(FolderRulesTest, NoFileNamesAPathOfSomeMachine) {
  std::vector<std::string> found;
  for (const SourceFile& file : ReadSourceTree()) {
    // Split, so that this file does not find itself.
    for (const std::string& path : {std::string("/wo") + "rk/", std::string("/ro") + "ot/",
                                    std::string("/ho") + "me/", std::string("/tmp/d") + "l/"}) {
      if (absl::StrContains(file.content, path))
        found.push_back(absl::StrCat(file.path, ": ", path));
    }
  }
  EXPECT_THAT(found, IsEmpty());
}

}  // namespace
}  // namespace tandem
