// Memory that the processes of one instance share.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace tandem {

// Anonymous and zeroed; pages take memory when they are first written; gone with the last process
// that maps it. What lies in it is the users' business.
class SharedMemory {
 public:
  // RESOURCE_EXHAUSTED names the bytes that could not be had.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Create(int64_t bytes);
  // Maps what another process created: `fd` is that process's fd(), inherited. Takes it over.
  // INVALID_ARGUMENT when it is not open.
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Open(int fd);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  int fd() const { return fd_; }  // closed on exec, unless the starter of a process says otherwise
  uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  SharedMemory(int fd, uint8_t* data, int64_t size) : fd_(fd), data_(data), size_(size) {}
  static absl::StatusOr<std::unique_ptr<SharedMemory>> Map(int fd, int64_t bytes);

  const int fd_;
  uint8_t* const data_;
  const int64_t size_;
};

}  // namespace tandem
