// The pre-tokenisers of GGUF: `tokenizer.ggml.pre` names one, the patterns are known by the name.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// The pattern of GPT-2, which tokenizer.json's ByteLevel uses as well.
extern const absl::string_view kGpt2Pattern;

struct GgufPreTokenizer {
  std::vector<absl::string_view> patterns;  // Applied in order; each match is a piece of its own.
  bool ignore_merges = false;               // See BpeModel::Options.
  bool add_bos = false;                     // Unless the metadata says otherwise.
};

// UNIMPLEMENTED where `name` is not known. An empty name is an old file: "default".
absl::StatusOr<GgufPreTokenizer> FindGgufPreTokenizer(absl::string_view name);

}  // namespace tandem
