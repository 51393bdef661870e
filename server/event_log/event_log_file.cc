#include "server/event_log/event_log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"

namespace tandem {
namespace {

// Long enough for a busy worker's tens of lines to go in one write, short enough to lose little.
constexpr absl::Duration kFlushInterval = absl::Milliseconds(100);
// Written sooner, so that a burst does not pile up.
constexpr size_t kFlushBytes = 256 << 10;
// Kept while the disk is slow: minutes of a busy worker's log.
constexpr size_t kMaxPendingBytes = 64 << 20;

}  // namespace

std::string InstanceLogPath(absl::string_view folder, absl::string_view instance_id,
                            uint64_t epoch) {
  return absl::StrCat(folder, "/", instance_id, "-", epoch, ".jsonl");
}

std::string RouterLogPath(absl::string_view folder, absl::Time start) {
  return absl::StrCat(folder, "/router-",
                      absl::FormatTime("%Y%m%dT%H%M%E3SZ", start, absl::UTCTimeZone()), ".jsonl");
}

absl::StatusOr<std::unique_ptr<EventLogFile>> EventLogFile::Create(const std::string& path) {
  const auto error = [&path](int number) {
    return absl::ErrnoToStatus(number, absl::StrCat("cannot write the event log ", path));
  };
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failed);
  if (failed) return error(failed.value());
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return error(errno);
  return std::unique_ptr<EventLogFile>(new EventLogFile(path, descriptor));
}

EventLogFile::EventLogFile(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor), thread_([this] { Run(); }) {
  LOG(INFO) << "event log: " << path_;
}

EventLogFile::~EventLogFile() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
  close(descriptor_);
}

void EventLogFile::Append(absl::string_view text) {
  {
    absl::MutexLock lock(&mutex_);
    if (has_ended_) return;
    if (pending_.size() + text.size() <= kMaxPendingBytes) {
      absl::StrAppend(&pending_, text);
      return;
    }
  }
  End("the disk is too slow");
}

bool EventLogFile::HasWork() const { return stopping_ || pending_.size() >= kFlushBytes; }

void EventLogFile::Run() {
  bool is_last = false;
  while (!is_last) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(this, &EventLogFile::HasWork), kFlushInterval);
      writing_.clear();
      writing_.swap(pending_);
      is_last = stopping_;
    }
    Write(writing_);
  }
}

void EventLogFile::Write(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return End(std::strerror(errno));
    text.remove_prefix(written);
  }
}

void EventLogFile::End(absl::string_view reason) {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(has_ended_, true)) return;
    pending_.clear();
  }
  LOG(WARNING) << "the event log " << path_ << " ends here: " << reason;
}

}  // namespace tandem
