// The third stage of tokenising: one piece of text -> token ids.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/tokenizer/vocabulary.h"

namespace tandem {

// What stands for text that no token covers.
struct UnknownPolicy {
  bool byte_fallback = false;  // Its bytes as tokens <0xNN>, where the vocabulary has them all.
  bool fuse = true;            // Neighbouring unknown characters become one unknown token.
  std::optional<int32_t> unknown_id;  // Absent: such text is dropped.
};

// Implementations are immutable and thread-safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the tokens of `piece` (valid UTF-8, at most 2^31 - 1 bytes) to `*ids`.
  virtual void Encode(absl::string_view piece, std::vector<int32_t>* ids) const = 0;
};

// Collects tokens under a policy. Lives for one piece.
class UnknownHandler {
 public:
  UnknownHandler(const Vocabulary& vocabulary, const UnknownPolicy& policy)
      : vocabulary_(vocabulary), policy_(policy) {}

  // Appends what stands for `text`, which no token covers, by calling append(id, offset, size) for
  // each token; `offset` and `size` say which bytes of `text` it stands for. A fused unknown is not
  // appended again: extend(size) is called.
  template <typename Append, typename Extend>
  void AddUnknown(absl::string_view text, Append append, Extend extend) {
    if (policy_.byte_fallback && HasAllBytes(text)) {
      for (size_t i = 0; i < text.size(); ++i) {
        append(*vocabulary_.FindByte(static_cast<uint8_t>(text[i])), i, size_t{1});
      }
      after_unknown_ = false;
    } else if (policy_.unknown_id.has_value()) {
      if (after_unknown_ && policy_.fuse) {
        extend(text.size());
      } else {
        append(*policy_.unknown_id, size_t{0}, text.size());
      }
      after_unknown_ = true;
    }
  }

  // To be called for each token that covers its text.
  void AddKnown() { after_unknown_ = false; }

 private:
  bool HasAllBytes(absl::string_view text) const {
    for (const char byte : text) {
      if (!vocabulary_.FindByte(static_cast<uint8_t>(byte)).has_value()) return false;
    }
    return true;
  }

  const Vocabulary& vocabulary_;
  const UnknownPolicy& policy_;
  bool after_unknown_ = false;
};

}  // namespace tandem
