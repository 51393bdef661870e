// The byte alphabet of byte-level BPE: each of the 256 bytes is written as one printable character,
// so that a vocabulary of text can hold any bytes (Radford et al. 2019, "Language Models are
// Unsupervised Multitask Learners", section 2.2). Printable Latin-1 stands for itself, the other 68
// bytes for U+0100.. in order: a space is U+0120.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tandem {

// `bytes` written in the byte alphabet, as UTF-8.
std::string BytesToByteLevel(absl::string_view bytes);

// The bytes that `text` stands for; `text` itself where a character is not of the alphabet.
std::string ByteLevelToBytes(absl::string_view text);

}  // namespace tandem
