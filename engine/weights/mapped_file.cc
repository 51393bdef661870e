#include "engine/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "engine/core/status_macros.h"
#include "engine/weights/file_errors.h"
#include "engine/weights/fnv1a.h"

namespace tandem {

namespace {

uint64_t Fingerprint(const struct stat& info) {
  Fnv1a hash;
  hash.AddAll(info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  return hash.hash();
}

}  // namespace

MappedFile::MappedFile(std::string path, absl::Span<const uint8_t> bytes, uint64_t fingerprint)
    : path_(std::move(path)), bytes_(bytes), fingerprint_(fingerprint) {}

void MappedFile::ReleasePages() const {
  madvise(const_cast<uint8_t*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() { munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size()); }

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  // Non-blocking, so that opening a named pipe does not wait for a writer before it is refused.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  const absl::Cleanup close_fd = [fd] { close(fd); };

  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot stat"));
  if (!S_ISREG(info.st_mode)) return Malformed(path, "not a regular file");
  if (info.st_size == 0) return Malformed(path, "the file is empty");

  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot map"));
  return std::shared_ptr<const MappedFile>(new MappedFile(
      path, absl::MakeConstSpan(static_cast<const uint8_t*>(data), size), Fingerprint(info)));
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  constexpr size_t kLargest = size_t{256} << 20;
  ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  if (file->bytes().size() > kLargest) {
    return Malformed(path, "a text file of ", file->bytes().size(), " bytes is not plausible");
  }
  return std::string(file->bytes().begin(), file->bytes().end());
}

}  // namespace tandem
