// Cuts a stream of server-sent events into the data of each event.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tandem {

// Takes the bytes in whatever pieces they come. Each `data:` line is an event of its own, as in the
// streams of OpenAI's API, whose JSON has no line breaks; comments and other fields are dropped.
class EventSplitter {
 public:
  // Calls `on_event(data)` for each event that `bytes` complete, which returns false to stop: then
  // the rest of `bytes` is dropped and so is the result false.
  template <typename OnEvent>
  bool Feed(absl::string_view bytes, OnEvent&& on_event) {
    size_t end;
    while ((end = bytes.find('\n')) != absl::string_view::npos) {
      absl::string_view line = bytes.substr(0, end);
      bytes.remove_prefix(end + 1);
      if (!pending_.empty()) {
        pending_.append(line.data(), line.size());
        line = pending_;
      }
      const bool goes_on = OnLine(line, on_event);
      pending_.clear();
      if (!goes_on) return false;
    }
    pending_.append(bytes.data(), bytes.size());
    return true;
  }

 private:
  template <typename OnEvent>
  static bool OnLine(absl::string_view line, OnEvent&& on_event) {
    line = absl::StripSuffix(line, "\r");
    if (!absl::ConsumePrefix(&line, "data:")) return true;
    absl::ConsumePrefix(&line, " ");
    return on_event(line);
  }

  std::string pending_;  // a line that has not ended
};

}  // namespace tandem
