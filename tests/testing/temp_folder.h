// A folder for one test's files, removed at its end.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/string_view.h"

namespace tandem {

class TempFolder {
 public:
  TempFolder() : path_(::testing::TempDir() + "tandem-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "cannot make " << path_;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }

  // Writes a file of this folder, over an older one, and returns its path.
  std::string Write(absl::string_view name, absl::string_view contents) const {
    const std::string path = path_ + "/" + std::string(name);
    std::filesystem::remove(path);  // an older one may still be mapped
    std::ofstream(path, std::ios::binary).write(contents.data(), contents.size());
    return path;
  }

 private:
  std::string path_;
};

}  // namespace tandem
