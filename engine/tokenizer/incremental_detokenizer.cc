#include "engine/tokenizer/incremental_detokenizer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/token_decoder.h"
#include "engine/tokenizer/utf8.h"

namespace tandem {

IncrementalDetokenizer::IncrementalDetokenizer(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      options_(options),
      is_first_(options.at_text_start),
      num_leading_spaces_(options.at_text_start ? tokenizer.decoder().text_rule().num_leading_spaces
                                                : 0) {}

std::string IncrementalDetokenizer::Add(int32_t id) {
  if (id < 0 || id >= tokenizer_.vocab_size()) return "";
  if (options_.skip_special && tokenizer_.IsSpecial(id)) return "";
  std::string bytes = tokenizer_.TokenBytes(id, is_first_);
  if (!is_first_) bytes.insert(0, tokenizer_.decoder().text_rule().separator);
  is_first_ = false;
  if (num_leading_spaces_ > 0 && !bytes.empty()) {
    const size_t spaces = std::min(bytes.find_first_not_of(' '), bytes.size());
    const size_t dropped = std::min<size_t>(spaces, num_leading_spaces_);
    num_leading_spaces_ = spaces == bytes.size() ? num_leading_spaces_ - static_cast<int>(dropped)
                                                 : 0;  // The text has begun.
    bytes.erase(0, dropped);
  }
  unfinished_ += bytes;
  const size_t finished = FinishedUtf8Prefix(unfinished_);
  std::string text = ReplaceInvalidUtf8(absl::string_view(unfinished_).substr(0, finished));
  unfinished_.erase(0, finished);
  return text;
}

std::string IncrementalDetokenizer::Flush() {
  return ReplaceInvalidUtf8(std::exchange(unfinished_, std::string()));
}

}  // namespace tandem
