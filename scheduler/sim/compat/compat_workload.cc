#include "scheduler/sim/compat/compat_workload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem {
namespace {

constexpr int kMaxLength = 1 << 24;  // Longer than any context, and no sum of squares overflows.

// NumPy's random_sample of its legacy generator: 53 random bits from two draws.
double UniformDouble(std::mt19937& generator) {
  const double high = static_cast<double>(generator() >> 5);
  const double low = static_cast<double>(generator() >> 6);
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

bool IsLength(int length, int min) { return length >= min && length <= kMaxLength; }

}  // namespace

absl::StatusOr<std::vector<RequestLengths>> ParseLengths(absl::string_view text) {
  std::vector<RequestLengths> lengths;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t,"), absl::SkipEmpty());
    RequestLengths entry;
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &entry.prompt_len) ||
        !absl::SimpleAtoi(words[1], &entry.output_len) || !IsLength(entry.prompt_len, 1) ||
        !IsLength(entry.output_len, 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line_number, ": expected a prompt's and an output's length, got \"",
                       line, "\""));
    }
    lengths.push_back(entry);
  }
  if (lengths.empty()) return absl::InvalidArgumentError("no lengths in it");
  return lengths;
}

std::vector<RequestLengths> SyntheticLengths::Make(int num_requests) const {
  std::vector<RequestLengths> lengths;
  lengths.reserve(num_requests);
  for (int64_t i = 0; i < num_requests; ++i) {
    lengths.push_back({.prompt_len = prompt_min + static_cast<int>(7919 * i % prompt_range),
                       .output_len = output_min + static_cast<int>(104729 * i % output_range)});
  }
  return lengths;
}

absl::StatusOr<SyntheticLengths> ParseSyntheticLengths(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ',');
  std::array<int, 4> numbers = {};
  constexpr std::array<int, 4> kMin = {1, 1, 0, 1};
  bool is_valid = words.size() == numbers.size();
  for (size_t i = 0; is_valid && i < numbers.size(); ++i) {
    is_valid = absl::SimpleAtoi(words[i], &numbers[i]) && IsLength(numbers[i], kMin[i]);
  }
  if (!is_valid) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected lengths such as 16,1500,1,300 (smallest prompt, how many prompt "
                     "lengths, smallest output, how many output lengths), got \"",
                     text, "\""));
  }
  return SyntheticLengths{numbers[0], numbers[1], numbers[2], numbers[3]};
}

std::vector<RequestLengths> ResampleLengths(absl::Span<const RequestLengths> pool, int num_requests,
                                            uint32_t seed) {
  std::mt19937 generator(1000 + seed);
  std::vector<RequestLengths> lengths;
  lengths.reserve(num_requests);
  for (int i = 0; i < num_requests; ++i) lengths.push_back(pool[generator() % pool.size()]);
  return lengths;
}

std::vector<double> PoissonGaps(int num_requests, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<double> gaps(num_requests, 0.0);
  for (int i = 1; i < num_requests; ++i) gaps[i] = -std::log(1.0 - UniformDouble(generator));
  return gaps;
}

std::vector<double> FixedGaps(int num_requests) {
  std::vector<double> gaps(num_requests, 1.0);
  if (!gaps.empty()) gaps[0] = 0.0;
  return gaps;
}

std::vector<CompatRequest> MakeRequests(absl::Span<const RequestLengths> lengths,
                                        absl::Span<const double> gaps, double rate) {
  std::vector<CompatRequest> requests;
  requests.reserve(lengths.size());
  double now_ms = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    now_ms += gaps[i] / rate * 1000.0;
    requests.push_back({now_ms, lengths[i].prompt_len, lengths[i].output_len});
  }
  return requests;
}

absl::StatusOr<std::vector<CompatRequest>> ParseCustomTrace(absl::string_view json_text) {
  using nlohmann::json;
  const json root = json::parse(json_text.begin(), json_text.end(), nullptr, false);
  if (!root.is_array() || root.empty()) {
    return absl::InvalidArgumentError("expected a JSON list of requests");
  }
  std::vector<CompatRequest> requests;
  requests.reserve(root.size());
  for (size_t i = 0; i < root.size(); ++i) {
    const auto number = [&](const char* key) {
      return root[i].is_object() && root[i].contains(key) && root[i][key].is_number()
                 ? root[i][key].get<double>()
                 : std::nan("");
    };
    const double start_s = number("start_time");
    const double prompt_len = number("prompt_len");
    const double output_len = number("output_len");
    if (!std::isfinite(start_s) || !(prompt_len >= 1 && prompt_len <= kMaxLength) ||
        !(output_len >= 0 && output_len <= kMaxLength)) {
      return absl::InvalidArgumentError(
          absl::StrCat("entry ", i, ": expected start_time (s), prompt_len and output_len, got ",
                       root[i].dump()));
    }
    requests.push_back(
        {start_s * 1000.0, static_cast<int>(prompt_len), static_cast<int>(output_len)});
  }
  std::ranges::stable_sort(requests, {}, &CompatRequest::arrival_ms);
  const double first_ms = requests.front().arrival_ms;
  for (CompatRequest& request : requests) request.arrival_ms -= first_ms;
  return requests;
}

}  // namespace tandem
