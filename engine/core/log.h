// Logging and checked invariants, with the spellings of Abseil's later absl/log.
//
//   LOG(INFO) << "registered instance=" << id;
//   CHECK(index < size) << "index " << index;
//
// One line per message on stderr: severity, wall time (UTC), process name and id, file:line, text.
// Thread-safe: a message is written with one write(2).
#pragma once

#include <sstream>

#include "absl/strings/string_view.h"

namespace tandem {

enum class LogSeverity { INFO, WARNING, ERROR, FATAL };

// Messages below `severity` are dropped. Default INFO. Call before threads start.
void SetMinLogSeverity(LogSeverity severity);

// Name shown in each line, such as "worker decode-0". Call before threads start.
void SetLogProcessName(absl::string_view name);

// One message: collects the text, writes it when destroyed; FATAL aborts the process.
class LogMessage {
 public:
  LogMessage(const char* file, int line, LogSeverity severity);
  ~LogMessage();
  LogMessage(const LogMessage&) = delete;
  LogMessage& operator=(const LogMessage&) = delete;

  std::ostream& stream() { return stream_; }

 private:
  const char* file_;
  int line_;
  LogSeverity severity_;
  std::ostringstream stream_;
};

// Gives CHECK the type void on both branches of its conditional.
struct LogVoidify {
  void operator&(std::ostream&) {}
};

}  // namespace tandem

#define LOG(severity) \
  ::tandem::LogMessage(__FILE__, __LINE__, ::tandem::LogSeverity::severity).stream()

// A broken invariant is a programmer's error: prints the condition and aborts.
// NOLINTBEGIN(bugprone-macro-parentheses): more may be streamed into it
#define CHECK(condition)             \
  (condition) ? static_cast<void>(0) \
              : ::tandem::LogVoidify() & (LOG(FATAL) << "Check failed: " #condition " ")
// NOLINTEND(bugprone-macro-parentheses)
#define CHECK_OK(expr)                                                 \
  do {                                                                 \
    const absl::Status tandem_check_status = (expr);                   \
    CHECK(tandem_check_status.ok()) << tandem_check_status.ToString(); \
  } while (false)
