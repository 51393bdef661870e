// The project's own files, as the tests of the tree see them.
#pragma once

#include <string>
#include <vector>

namespace tandem {

struct SourceFile {
  std::string path;  // relative to the root of the tree, with '/'
  std::string content;
};

// Every text file that is written by hand: sources, scripts and documents. Not build folders, not
// golden data. Sorted by path.
std::vector<SourceFile> ReadSourceTree();

// Whether `file` is C++ or CUDA.
bool IsCpp(const SourceFile& file);

}  // namespace tandem
