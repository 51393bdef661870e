#include "engine/weights/packed_cache.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// At the start of a file; the units and the bytes follow. In this machine's byte order, since the
// file does not leave it.
struct Header {
  char magic[8] = {'T', 'A', 'N', 'D', 'E', 'M', 'P', '1'};
  uint64_t key = 0;
  uint64_t num_units = 0;
  uint64_t num_bytes = 0;
  uint64_t crc32c = 0;  // of units and bytes

  bool operator==(const Header& other) const {
    return std::memcmp(this, &other, sizeof(Header)) == 0;
  }
};

// Both in pieces, since the calls take and return less than 2 GiB.
constexpr size_t kPiece = size_t{1} << 30;

uint32_t Crc32c(uint32_t crc, const void* data, size_t size) {
  auto* p = const_cast<uint8_t*>(static_cast<const uint8_t*>(data));
  for (size_t done = 0; done < size; done += kPiece) {
    crc = crc32_iscsi(p + done, static_cast<int>(std::min(kPiece, size - done)), crc);
  }
  return crc;
}

bool ReadAll(int fd, void* data, size_t size) {
  auto* p = static_cast<uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = read(fd, p, std::min(size, kPiece));
    if (count <= 0 && !(count < 0 && errno == EINTR)) return false;
    if (count > 0) p += count, size -= count;
  }
  return true;
}

bool WriteAll(int fd, const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = write(fd, p, std::min(size, kPiece));
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) p += count, size -= count;
  }
  return true;
}

Header HeaderOf(uint64_t key, const PackedWeights& weights) {
  Header header;
  header.key = key;
  header.num_units = weights.units.size();
  header.num_bytes = weights.bytes.size();
  const uint32_t crc = Crc32c(0, weights.units.data(), weights.units.size() * sizeof(float));
  header.crc32c = Crc32c(crc, weights.bytes.data(), weights.bytes.size());
  return header;
}

}  // namespace

std::string PackedCache::PathOf(uint64_t key) const {
  return absl::StrCat(folder_, "/", absl::Hex(key, absl::kZeroPad16), ".packed");
}

bool PackedCache::Load(uint64_t key, PackedWeights& weights) const {
  if (folder_.empty()) return false;
  const std::string path = PathOf(key);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const absl::Cleanup close_fd = [fd] { close(fd); };
  Header header;
  if (!ReadAll(fd, &header, sizeof(header)) || header.num_units != weights.units.size() ||
      header.num_bytes != weights.bytes.size() ||
      !ReadAll(fd, weights.units.data(), weights.units.size() * sizeof(float)) ||
      !ReadAll(fd, weights.bytes.data(), weights.bytes.size()) ||
      !(header == HeaderOf(key, weights))) {
    return false;
  }
  futimens(fd, nullptr);  // used now; where it may not be touched it only looks older
  return true;
}

absl::Status PackedCache::Store(uint64_t key, const PackedWeights& weights) const {
  if (folder_.empty()) return absl::OkStatus();
  std::error_code error;
  fs::create_directories(folder_, error);
  const std::string path = PathOf(key);
  const std::string unfinished = absl::StrCat(path, ".", getpid());
  const int fd = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(unfinished, ": cannot create"));
  const Header header = HeaderOf(key, weights);
  bool written = WriteAll(fd, &header, sizeof(header)) &&
                 WriteAll(fd, weights.units.data(), weights.units.size() * sizeof(float)) &&
                 WriteAll(fd, weights.bytes.data(), weights.bytes.size());
  int write_errno = errno;
  close(fd);
  if (written && rename(unfinished.c_str(), path.c_str()) != 0) {
    written = false;
    write_errno = errno;
  }
  if (!written) {
    unlink(unfinished.c_str());
    return absl::ErrnoToStatus(write_errno, absl::StrCat(path, ": cannot write"));
  }
  RemoveOldFiles();
  return absl::OkStatus();
}

void PackedCache::RemoveOldFiles() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() == ".packed") {
      files.emplace_back(entry.last_write_time(error), entry.path());
    }
  }
  if (files.size() <= kMaxFiles) return;
  std::sort(files.begin(), files.end());
  files.resize(files.size() - kMaxFiles);
  for (const auto& [time, path] : files) fs::remove(path, error);
}

}  // namespace tandem
