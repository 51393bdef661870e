// Turns a stream of tokens into text as it grows.
//
//   IncrementalDetokenizer detokenizer(tokenizer, {});
//   for (int32_t id : ids) Send(detokenizer.Add(id));
//   Send(detokenizer.Flush());
#pragma once

#include <cstdint>
#include <string>

#include "engine/tokenizer/tokenizer.h"

namespace tandem {

// What it returns is valid UTF-8, never ends within a character, and adds up to
// Tokenizer::Decode of all tokens. Not thread-safe. The tokenizer must outlive it.
class IncrementalDetokenizer {
 public:
  struct Options {
    bool skip_special = true;
    // False for tokens that continue a text, such as the answer to a completion prompt: then the
    // first token keeps the space that a tokeniser of the SentencePiece kind drops at the start.
    bool at_text_start = true;
  };

  IncrementalDetokenizer(const Tokenizer& tokenizer, Options options);

  // The text that `id` adds; empty while a character is unfinished.
  std::string Add(int32_t id);

  // What an unfinished character leaves: U+FFFD or nothing. To be called after the last token.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  const Options options_;
  bool is_first_;           // No token has been added to the text yet.
  int num_leading_spaces_;  // Spaces still to be dropped.
  std::string unfinished_;  // Bytes of a character that is not complete, at most 3.
};

}  // namespace tandem
