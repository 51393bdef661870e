// A file that appears under its name only when it is complete.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tandem {

// Writes a temporary file beside `path`; Commit gives it its name, and what is not committed is
// removed. Every status names the path. Owner thread only.
class OutputFile {
 public:
  // `bytes` is the size that the file will have: where the file system can, the space is taken at
  // once, so that a full disk is known before the work. ALREADY_EXISTS when there is such a file
  // and `replace` is false; INVALID_ARGUMENT when it is there and no regular file; otherwise as the
  // system says: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (no space left).
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path, int64_t bytes,
                                                            bool replace);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Append(absl::Span<const uint8_t> bytes);

  // Makes the file durable and renames it, over an older one. Call once, at the end.
  absl::Status Commit();

 private:
  OutputFile(std::string path, std::string temporary_path, int fd);
  absl::Status ErrnoStatus(int error, absl::string_view what) const;

  const std::string path_;
  const std::string temporary_path_;
  int fd_;
  bool committed_ = false;
};

}  // namespace tandem
