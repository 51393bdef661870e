#include "server/cli/step_grid.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem {

int StepPoint::MaxLength() const {
  return std::max(chunk_tokens > 0 ? chunk_begin + chunk_tokens : 0, num_rows > 0 ? context : 0);
}

int64_t StepPoint::NumBlocks(int block_size) const {
  const auto blocks = [block_size](int tokens) { return (tokens + block_size - 1) / block_size; };
  return (chunk_tokens > 0 ? blocks(chunk_begin + chunk_tokens) : 0) +
         int64_t{num_rows} * blocks(context);
}

StepShape StepPoint::Shape() const {
  StepShape shape;
  if (chunk_tokens > 0) shape.AddChunk(chunk_begin, chunk_tokens);
  shape.decode_rows = num_rows;
  shape.decode_context = int64_t{num_rows} * context;
  return shape;
}

std::vector<StepPoint> MakeStepGrid(const StepGridOptions& options) {
  std::vector<StepPoint> points;
  for (int begin : options.stored) {
    for (int tokens : options.chunks) {
      points.push_back({.chunk_tokens = tokens, .chunk_begin = begin});
    }
  }
  for (int context : options.contexts) {
    for (int rows : options.batches) points.push_back({.num_rows = rows, .context = context});
  }
  if (options.contexts.empty()) return points;
  const int context = options.contexts[options.contexts.size() / 2];
  for (size_t i = 0; i < options.chunks.size(); i += 2) {
    for (size_t k = 0; k < options.batches.size(); k += 2) {
      points.push_back(
          {.chunk_tokens = options.chunks[i], .num_rows = options.batches[k], .context = context});
    }
  }
  return points;
}

absl::StatusOr<std::vector<int>> ParseNumbers(absl::string_view text, int least) {
  constexpr int kMost = 1 << 24;
  std::vector<int> numbers;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int value = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(part), &value) || value < least ||
        value > kMost) {
      return absl::InvalidArgumentError(absl::StrCat("expected numbers between ", least, " and ",
                                                     kMost, " in \"", text, "\", got \"", part,
                                                     "\""));
    }
    numbers.push_back(value);
  }
  return numbers;
}

}  // namespace tandem
