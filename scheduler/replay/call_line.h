// One call of a scheduler as a line of its event log: {"call":"begun","now":..,"id":..}.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "scheduler/replay/append_json.h"

namespace tandem {

// Takes lines, each with its newline, in the order of the calls. Must not block: a scheduler's
// owner waits for it.
using LineSink = std::function<void(absl::string_view line)>;

// Raised when lines of an earlier build would be read as something else.
inline constexpr int kEventLogFormat = 1;

// Builds lines in a buffer that it keeps. Without a sink nothing may be called but is_on.
class CallLine {
 public:
  explicit CallLine(LineSink sink) : sink_(std::move(sink)) {}

  bool is_on() const { return sink_ != nullptr; }

  // The first line: what is logged, and the options that it was made with.
  template <HasFields T>
  void WriteHeader(const char* kind, const T& options) {
    line_ = absl::StrCat("{\"tandem_event_log\":", kEventLogFormat, ",\"kind\":\"", kind,
                         "\",\"options\":");
    AppendAllFields(options, &line_);
    End();
  }

  void Begin(const char* call) { line_ = absl::StrCat("{\"call\":\"", call, "\""); }

  template <typename T>
  void Add(const char* name, const T& value) {
    AppendJson(value, Open(name));
  }
  // Only what differs from `base`.
  template <HasFields T>
  void AddChanged(const char* name, const T& value, const T& base) {
    AppendChangedFields(value, base, Open(name));
  }
  // Nothing for an OK status.
  void AddRefusal(const absl::Status& status) {
    if (!status.ok()) Add("refused", status);
  }
  // The line up to a value, which the caller appends.
  std::string* Open(const char* name) {
    absl::StrAppend(&line_, ",\"", name, "\":");
    return &line_;
  }

  void End() {
    absl::StrAppend(&line_, "}\n");
    sink_(line_);
  }

 private:
  const LineSink sink_;
  std::string line_;
};

}  // namespace tandem
