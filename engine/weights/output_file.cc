#include "engine/weights/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

absl::Status CheckMayWrite(const std::string& path, bool replace) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISREG(info.st_mode)) return Malformed(path, "is there and not a regular file");
  if (replace) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(path, ": the file exists"));
}

// Read and write permissions as a new file gets them; mkstemp gives fewer.
mode_t DefaultMode() {
  const mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

}  // namespace

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path,
                                                               int64_t bytes, bool replace) {
  RETURN_IF_ERROR(CheckMayWrite(path, replace));
  std::string temporary_path = absl::StrCat(path, ".part-XXXXXX");
  const int fd = mkostemp(temporary_path.data(), O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot create"));
  std::unique_ptr<OutputFile> file(new OutputFile(path, std::move(temporary_path), fd));
  if (fchmod(fd, DefaultMode()) != 0) return file->ErrnoStatus(errno, "cannot set permissions");
  if (bytes > 0 && fallocate(fd, 0, 0, bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
    return file->ErrnoStatus(errno, absl::StrCat("cannot take ", bytes, " bytes"));
  }
  return file;
}

OutputFile::OutputFile(std::string path, std::string temporary_path, int fd)
    : path_(std::move(path)), temporary_path_(std::move(temporary_path)), fd_(fd) {}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
  if (!committed_) unlink(temporary_path_.c_str());
}

absl::Status OutputFile::ErrnoStatus(int error, absl::string_view what) const {
  return absl::ErrnoToStatus(error, absl::StrCat(path_, ": ", what));
}

absl::Status OutputFile::Append(absl::Span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "cannot write");
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  // Without this a crash soon after could leave the name with a file of zeros.
  if (fsync(fd_) != 0) return ErrnoStatus(errno, "cannot write");
  const int fd = std::exchange(fd_, -1);
  if (close(fd) != 0) return ErrnoStatus(errno, "cannot write");
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, "cannot rename");
  }
  committed_ = true;
  return absl::OkStatus();
}

}  // namespace tandem
