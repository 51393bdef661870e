#include "server/cli/progress_bar.h"

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace tandem {

ProgressBar::ProgressBar() : is_terminal_(isatty(STDERR_FILENO) != 0), start_(absl::Now()) {}

ProgressBar::~ProgressBar() {
  if (is_terminal_) std::cerr << "\r\033[K" << std::flush;
}

void ProgressBar::Show(absl::string_view what, int done, int all) {
  if (!is_terminal_ || all <= 0 || done <= 0) return;
  constexpr int kWidth = 40;
  const int filled = static_cast<int>(int64_t{kWidth} * done / all);
  const int64_t seconds = absl::ToInt64Seconds((absl::Now() - start_) * (all - done) / done);
  std::cerr << absl::StreamFormat("\r%s  [%s%s]  %d/%d  %02d:%02d left\033[K", what,
                                  std::string(filled, '='), std::string(kWidth - filled, ' '), done,
                                  all, seconds / 60, seconds % 60)
            << std::flush;
}

}  // namespace tandem
