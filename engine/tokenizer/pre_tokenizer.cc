#include "engine/tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/byte_level.h"

namespace tandem {
namespace {

struct Segment {
  TextRange range;
  bool is_match = false;
};

// Cuts [0, size) at the matches: every byte lies in exactly one segment.
std::vector<Segment> CoverText(const std::vector<TextRange>& matches, size_t size, bool invert) {
  std::vector<Segment> segments;
  size_t covered = 0;
  const auto add = [&segments, &covered](size_t end, bool is_match) {
    if (covered < end) segments.push_back({{.begin = covered, .end = end}, is_match});
    covered = end;
  };
  for (const TextRange& match : matches) {
    add(match.begin, invert);
    add(match.end, !invert);
  }
  add(size, invert);
  return segments;
}

// True where `next` extends the piece that `previous` ended.
bool Joins(const Segment& previous, const Segment& next, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kMergedWithPrevious:
      return next.is_match && !previous.is_match;
    case SplitBehavior::kMergedWithNext:
      return previous.is_match && !next.is_match;
    case SplitBehavior::kContiguous:
      return previous.is_match == next.is_match;
    case SplitBehavior::kIsolated:
    case SplitBehavior::kRemoved:
      return false;
  }
  return false;
}

absl::Status SplitPiece(const std::string& piece, const SplitStep& split,
                        std::vector<std::string>* out) {
  ASSIGN_OR_RETURN(const std::vector<TextRange> matches, split.pattern.FindAll(piece));
  const Segment* previous = nullptr;
  const std::vector<Segment> segments = CoverText(matches, piece.size(), split.invert);
  for (const Segment& segment : segments) {
    const absl::string_view text = segment.range.Of(piece);
    if (previous != nullptr && Joins(*previous, segment, split.behavior)) {
      absl::StrAppend(&out->back(), text);
    } else if (split.behavior != SplitBehavior::kRemoved || !segment.is_match) {
      out->emplace_back(text);
    }
    previous = &segment;
  }
  return absl::OkStatus();
}

absl::Status ApplyStep(const SplitStep& split, bool at_start, std::vector<std::string>* pieces) {
  std::vector<std::string> result;
  result.reserve(pieces->size());
  for (const std::string& piece : *pieces) RETURN_IF_ERROR(SplitPiece(piece, split, &result));
  *pieces = std::move(result);
  return absl::OkStatus();
}

absl::Status ApplyStep(const PrefixSpaceStep&, bool at_start, std::vector<std::string>* pieces) {
  for (std::string& piece : *pieces) {
    if (!absl::StartsWith(piece, " ")) piece.insert(0, " ");
  }
  return absl::OkStatus();
}

absl::Status ApplyStep(const ByteLevelStep&, bool at_start, std::vector<std::string>* pieces) {
  for (std::string& piece : *pieces) piece = BytesToByteLevel(piece);
  return absl::OkStatus();
}

absl::Status ApplyStep(const MetaspaceStep& metaspace, bool at_start,
                       std::vector<std::string>* pieces) {
  using Prepend = MetaspaceStep::Prepend;
  for (size_t i = 0; i < pieces->size(); ++i) {
    std::string& piece = (*pieces)[i];
    piece = absl::StrReplaceAll(piece, {{" ", metaspace.replacement}});
    const bool wanted = metaspace.prepend == Prepend::kAlways ||
                        (metaspace.prepend == Prepend::kFirst && at_start && i == 0);
    if (wanted && !absl::StartsWith(piece, metaspace.replacement)) {
      piece.insert(0, metaspace.replacement);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PreTokenizer::Split(std::string text,
                                                             bool at_start) const {
  std::vector<std::string> pieces;
  if (!text.empty()) pieces.push_back(std::move(text));
  for (const PreTokenizerStep& step : steps_) {
    RETURN_IF_ERROR(std::visit(
        [at_start, &pieces](const auto& kind) { return ApplyStep(kind, at_start, &pieces); },
        step));
  }
  return pieces;
}

}  // namespace tandem
