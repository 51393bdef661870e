// A file that a process writes its scheduler's event log to (--event-log).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tandem {

// Where an instance's log stands in the folder: FOLDER/decode-0-1234.jsonl.
std::string InstanceLogPath(absl::string_view folder, absl::string_view instance_id,
                            uint64_t epoch);
// Where a scheduler process's does: FOLDER/router-20261126T105406.123Z.jsonl.
std::string RouterLogPath(absl::string_view folder, absl::Time start);

// Thread-safe. A thread of its own writes to the disk, at least ten times a second; what a process
// has appended for longer survives its kill.
class EventLogFile {
 public:
  // A new file that only this user can read, for it holds what clients have asked; makes its folder
  // where there is none. Fails with the system's reason and the path, ALREADY_EXISTS included.
  static absl::StatusOr<std::unique_ptr<EventLogFile>> Create(const std::string& path);
  ~EventLogFile();  // writes what was appended

  // Does not wait for the disk. Where that is full, or so slow that too much would have to be kept,
  // the log ends, with one warning: one with a gap could not be replayed.
  void Append(absl::string_view text);

 private:
  EventLogFile(std::string path, int descriptor);
  void Run();
  void Write(absl::string_view text);
  void End(absl::string_view reason);
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const int descriptor_;
  std::string writing_;  // of the writing thread

  absl::Mutex mutex_;
  std::string pending_ ABSL_GUARDED_BY(mutex_);
  bool has_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tandem
