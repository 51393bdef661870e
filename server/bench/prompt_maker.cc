#include "server/bench/prompt_maker.h"

#include <algorithm>
#include <iterator>

#include "scheduler/sim/random.h"

namespace tandem {
namespace {

// Words that byte pair encodings keep whole, a space before them included.
constexpr const char* kWords[] = {
    "the",  "of",   "and",   "to",    "in",    "is",    "was",  "for",   "that",  "with",  "on",
    "as",   "by",   "at",    "from",  "his",   "it",    "an",   "were",  "are",   "which", "this",
    "also", "be",   "had",   "he",    "has",   "not",   "but",  "or",    "have",  "one",   "their",
    "its",  "new",  "first", "been",  "who",   "they",  "all",  "after", "her",   "two",   "other",
    "time", "when", "more",  "about", "there", "some",  "only", "would", "into",  "over",  "made",
    "year", "most", "city",  "world", "many",  "where", "used", "three", "people"};

}  // namespace

template <typename Append>
void PromptMaker::ForEachToken(const TimedRequest& request, int64_t index, Append append) const {
  const int block = request.block_ids.empty() ? request.prompt_tokens : options_.block_tokens;
  for (int begin = 0; begin < request.prompt_tokens; begin += block) {
    const uint64_t content = request.block_ids.empty()
                                 ? MixSeed(1, static_cast<uint64_t>(index))
                                 : MixSeed(2, request.block_ids[begin / block]);
    Random random(options_.seed, content);
    const int end = std::min(begin + block, request.prompt_tokens);
    for (int i = begin; i < end; ++i) append(random);
  }
}

std::vector<uint32_t> PromptMaker::Tokens(const TimedRequest& request, int64_t index) const {
  std::vector<uint32_t> tokens;
  tokens.reserve(request.prompt_tokens);
  const uint64_t range = uint64_t{options_.last_token} - options_.first_token + 1;
  ForEachToken(request, index, [&](Random& random) {
    tokens.push_back(options_.first_token + static_cast<uint32_t>(random.Below(range)));
  });
  return tokens;
}

std::string PromptMaker::Text(const TimedRequest& request, int64_t index) const {
  if (!request.text.empty()) return request.text;
  std::string text;
  ForEachToken(request, index, [&](Random& random) {
    text.append(text.empty() ? "" : " ").append(kWords[random.Below(std::size(kWords))]);
  });
  return text;
}

}  // namespace tandem
