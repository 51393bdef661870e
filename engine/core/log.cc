#include "engine/core/log.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tandem {
namespace {

LogSeverity min_severity = LogSeverity::INFO;

std::string& ProcessName() {
  static auto* name = new std::string("tandem");
  return *name;
}

}  // namespace

void SetMinLogSeverity(LogSeverity severity) { min_severity = severity; }

void SetLogProcessName(absl::string_view name) { ProcessName() = std::string(name); }

LogMessage::LogMessage(const char* file, int line, LogSeverity severity)
    : file_(file), line_(line), severity_(severity) {}

LogMessage::~LogMessage() {
  if (severity_ >= min_severity) {
    const char* slash = std::strrchr(file_, '/');
    const std::string text = absl::StrCat(
        std::string(1, "IWEF"[static_cast<int>(severity_)]),
        absl::FormatTime("%m%d %H:%M:%E3S", absl::Now(), absl::UTCTimeZone()), " ", ProcessName(),
        "[", getpid(), "] ", slash ? slash + 1 : file_, ":", line_, "] ", stream_.str(), "\n");
    // A log line that cannot be written has nowhere to be reported.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  }
  if (severity_ == LogSeverity::FATAL) std::abort();
}

}  // namespace tandem
