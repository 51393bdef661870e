#include "engine/tokenizer/end_of_turn.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace tandem {

bool IsEndOfTurnName(absl::string_view text) {
  static const auto& names = *new absl::flat_hash_set<absl::string_view>{
      "<|eot_id|>",
      "<|eom_id|>",
      "<|eot|>",     // Llama 3, 4
      "<|im_end|>",  // ChatML: Qwen, SmolLM
      "<|endoftext|>",
      "<|end_of_text|>",
      "<|end|>",
      "</s>",  // GPT-2, Granite, Phi, Llama 2
      "<|return|>",
      "<|call|>",  // gpt-oss
      "<end_of_turn>",
      "<turn|>",                // Gemma
      "<｜end▁of▁sentence｜>",  // DeepSeek
      "<|END_OF_TURN_TOKEN|>",
      "<end_of_utterance>",  // Command R, SmolVLM
      "[EOT]",
      "[EOS]",
      "<EOT>",
      "_<EOT>",
      "▁<EOT>",
      "<|eos|>",  // Kimi, CodeLlama and others
  };
  return names.contains(text);
}

std::vector<int32_t> FindEndOfTurnIds(const Vocabulary& vocabulary, std::vector<int32_t> named) {
  // In gpt-oss <|end|> ends one message of a turn, and more may follow.
  const bool has_messages = vocabulary.Find("<|return|>").has_value();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const Token& token = vocabulary.at(id);
    if (token.kind != TokenKind::kControl || !IsEndOfTurnName(token.text)) continue;
    if (has_messages && token.text == "<|end|>") continue;
    named.push_back(id);
  }
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return named;
}

}  // namespace tandem
