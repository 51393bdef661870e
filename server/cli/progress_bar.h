// One line on stderr that shows how far a long command is. Silent where stderr is no terminal.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem {

class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();  // Takes the line away.
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // "window  [=====>     ]  7/20  00:12 left". `done` of `all`.
  void Show(absl::string_view what, int done, int all);

 private:
  const bool is_terminal_;
  const absl::Time start_;
};

}  // namespace tandem
