#include "engine/comm/shared_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Create(int64_t bytes) {
  const int fd = memfd_create("tandem-instance", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, bytes) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot share ", bytes, " bytes of memory: ", std::strerror(error)));
  }
  return Map(fd, bytes);
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Open(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("file descriptor ", fd, " is no shared memory: ", std::strerror(errno)));
  }
  return Map(fd, info.st_size);
}

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Map(int fd, int64_t bytes) {
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (data == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map ", bytes, " bytes of shared memory: ", std::strerror(error)));
  }
  return std::unique_ptr<SharedMemory>(new SharedMemory(fd, static_cast<uint8_t*>(data), bytes));
}

SharedMemory::~SharedMemory() {
  munmap(data_, size_);
  close(fd_);
}

}  // namespace tandem
