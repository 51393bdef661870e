// A file mapped into memory, read-only: weights are paged in when a kernel first reads them, and
// all workers of a machine share one copy of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tandem {

// Immutable and thread-safe. The file must not be truncated while it is mapped (reads beyond the
// new end would raise SIGBUS); replacing it by rename is safe.
class MappedFile {
 public:
  // The status names the path: NOT_FOUND, PERMISSION_DENIED, or INVALID_ARGUMENT for what is not a
  // regular file or is empty.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  // Starts at a page boundary.
  absl::Span<const uint8_t> bytes() const { return bytes_; }
  // Changes when the file is written or replaced: of its inode, size and modification time.
  uint64_t fingerprint() const { return fingerprint_; }

  // Gives back the memory of pages that were read; they come in again when they are read again.
  void ReleasePages() const;

 private:
  MappedFile(std::string path, absl::Span<const uint8_t> bytes, uint64_t fingerprint);

  const std::string path_;
  const absl::Span<const uint8_t> bytes_;
  const uint64_t fingerprint_;
};

// The whole of a text file, such as a config.json. Same errors; INVALID_ARGUMENT above 256 MiB,
// where no text file of a model comes near.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace tandem
