#include "server/cli/text_file.h"

#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

absl::Status FileError(const char* what, const std::string& path) {
  // A stream says no more than that it has failed.
  return absl::ErrnoToStatus(errno != 0 ? errno : EIO, absl::StrCat("cannot ", what, " ", path));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char piece[1 << 16];
  while (file.read(piece, sizeof(piece)) || file.gcount() > 0) text.append(piece, file.gcount());
  if (!file.is_open() || file.bad()) return FileError("read", path);
  return text;
}

absl::Status WriteFile(const std::string& path, absl::FunctionRef<void(std::ostream&)> write) {
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  if (file) write(file);
  file.close();
  return file ? absl::OkStatus() : FileError("write", path);
}

absl::Status CheckWritable(const std::string& path) {
  errno = 0;
  return std::ofstream(path, std::ios::app) ? absl::OkStatus() : FileError("write", path);
}

}  // namespace tandem
