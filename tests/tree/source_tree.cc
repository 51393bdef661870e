#include "tests/tree/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace tandem {
namespace {

namespace fs = std::filesystem;

bool IsTextFile(const fs::path& path) {
  static const auto* extensions = new std::set<std::string>{
      ".h", ".cc", ".cu", ".proto", ".py", ".sh", ".md", ".yaml", ".txt", ".cmake"};
  static const auto* names = new std::set<std::string>{"run", "test", "Dockerfile", ".clang-tidy"};
  return extensions->contains(path.extension()) || names->contains(path.filename());
}

bool IsSkippedFolder(const fs::path& path) {
  const std::string name = path.filename();
  return name.starts_with("build") || name == ".git" || name == "golden" || name == "__pycache__";
}

}  // namespace

std::vector<SourceFile> ReadSourceTree() {
  const fs::path root = TANDEM_SOURCE_DIR;
  std::vector<SourceFile> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator();
       ++it) {
    if (it->is_directory() && IsSkippedFolder(it->path())) it.disable_recursion_pending();
    if (!it->is_regular_file() || !IsTextFile(it->path())) continue;
    std::ifstream stream(it->path(), std::ios::binary);
    files.push_back({.path = it->path().lexically_relative(root).generic_string(),
                     .content = std::string(std::istreambuf_iterator<char>(stream), {})});
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

bool IsCpp(const SourceFile& file) {
  return file.path.ends_with(".h") || file.path.ends_with(".cc") || file.path.ends_with(".cu");
}

}  // namespace tandem
