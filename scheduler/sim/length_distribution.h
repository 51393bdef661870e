// How long prompts and answers are, in tokens.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/sim/random.h"

namespace tandem {

class LengthDistribution {
 public:
  // The longest length that any distribution or trace may ask for.
  static constexpr int kMaxTokens = 1 << 24;

  // "512" exactly; "100..500" uniform with both ends; "normal:512:128" mean and deviation;
  // "lognormal:512:0.8" median and deviation of the logarithm; "exponential:200" mean. What is
  // drawn is rounded and held within 1 and the number behind a final "<=", such as
  // "lognormal:512:0.8<=4096". INVALID_ARGUMENT quotes what is not of these.
  static absl::StatusOr<LengthDistribution> Parse(absl::string_view text);

  static LengthDistribution Exactly(int tokens);

  int Draw(Random& random) const;

  // As it was written.
  const std::string& text() const { return text_; }

 private:
  enum class Kind { kUniform, kNormal, kLogNormal, kExponential };

  LengthDistribution() = default;
  static absl::StatusOr<LengthDistribution> ParseUncapped(absl::string_view text);

  Kind kind_ = Kind::kUniform;
  double a_ = 1, b_ = 1;
  int max_tokens_ = kMaxTokens;
  std::string text_;
};

}  // namespace tandem
