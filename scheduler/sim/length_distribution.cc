#include "scheduler/sim/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

absl::Status Malformed(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text,
                   "\" is no length: expected N, LOW..HIGH, normal:MEAN:DEVIATION, "
                   "lognormal:MEDIAN:SIGMA or exponential:MEAN, with <=MAX behind it if wanted"));
}

absl::StatusOr<double> ParsePositive(absl::string_view text, absl::string_view whole) {
  double value = 0;
  if (!absl::SimpleAtod(text, &value) || !(value > 0) || value > LengthDistribution::kMaxTokens) {
    return Malformed(whole);
  }
  return value;
}

absl::StatusOr<int> ParseTokens(absl::string_view text, absl::string_view whole) {
  int value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < 1 || value > LengthDistribution::kMaxTokens) {
    return Malformed(whole);
  }
  return value;
}

}  // namespace

LengthDistribution LengthDistribution::Exactly(int tokens) {
  LengthDistribution exact;
  exact.a_ = exact.b_ = tokens;
  exact.text_ = absl::StrCat(tokens);
  return exact;
}

absl::StatusOr<LengthDistribution> LengthDistribution::Parse(absl::string_view text) {
  const size_t cap = text.find("<=");
  ASSIGN_OR_RETURN(LengthDistribution parsed, ParseUncapped(text.substr(0, cap)));
  if (cap != absl::string_view::npos) {
    ASSIGN_OR_RETURN(parsed.max_tokens_, ParseTokens(text.substr(cap + 2), text));
  }
  parsed.text_ = std::string(text);
  return parsed;
}

absl::StatusOr<LengthDistribution> LengthDistribution::ParseUncapped(absl::string_view text) {
  LengthDistribution parsed;
  if (const size_t dots = text.find(".."); dots != absl::string_view::npos) {
    ASSIGN_OR_RETURN(parsed.a_, ParseTokens(text.substr(0, dots), text));
    ASSIGN_OR_RETURN(parsed.b_, ParseTokens(text.substr(dots + 2), text));
    if (parsed.a_ > parsed.b_) return Malformed(text);
    return parsed;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() == 1) {
    ASSIGN_OR_RETURN(const int exact, ParseTokens(text, text));
    return Exactly(exact);
  }
  if (parts[0] == "exponential" && parts.size() == 2) {
    parsed.kind_ = Kind::kExponential;
  } else if (parts[0] == "normal" && parts.size() == 3) {
    parsed.kind_ = Kind::kNormal;
  } else if (parts[0] == "lognormal" && parts.size() == 3) {
    parsed.kind_ = Kind::kLogNormal;
  } else {
    return Malformed(text);
  }
  ASSIGN_OR_RETURN(parsed.a_, ParsePositive(parts[1], text));
  if (parts.size() == 3) {
    ASSIGN_OR_RETURN(parsed.b_, ParsePositive(parts[2], text));
  }
  return parsed;
}

int LengthDistribution::Draw(Random& random) const {
  double drawn = 0;
  switch (kind_) {
    case Kind::kUniform:
      drawn = a_ + static_cast<double>(random.Below(static_cast<uint64_t>(b_ - a_) + 1));
      break;
    case Kind::kNormal:
      drawn = a_ + b_ * random.Normal();
      break;
    case Kind::kLogNormal:
      drawn = a_ * std::exp(b_ * random.Normal());
      break;
    case Kind::kExponential:
      drawn = a_ * random.Exponential();
      break;
  }
  return static_cast<int>(std::round(std::clamp<double>(drawn, 1, max_tokens_)));
}

}  // namespace tandem
