#include "engine/tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "engine/tokenizer/utf8.h"

namespace tandem {
namespace {

// The last character of the alphabet is U+0143: 0x100 + 68 - 1.
constexpr char32_t kAlphabetEnd = 0x144;

struct ByteAlphabet {
  std::array<char32_t, 256> to_character{};
  std::array<int16_t, kAlphabetEnd> to_byte{};  // -1: not of the alphabet.
};

constexpr bool IsPrintableLatin1(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr ByteAlphabet MakeAlphabet() {
  ByteAlphabet alphabet;
  for (int16_t& byte : alphabet.to_byte) byte = -1;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t character = IsPrintableLatin1(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.to_character[byte] = character;
    alphabet.to_byte[character] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr ByteAlphabet kAlphabet = MakeAlphabet();
static_assert(kAlphabet.to_character[' '] == 0x120);
static_assert(kAlphabet.to_byte[kAlphabetEnd - 1] == 0xAD);

}  // namespace

std::string BytesToByteLevel(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 2);
  for (const char byte : bytes) {
    AppendUtf8(kAlphabet.to_character[static_cast<uint8_t>(byte)], &text);
  }
  return text;
}

std::string ByteLevelToBytes(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (absl::string_view rest = text; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    const bool known = character.valid && character.code_point < kAlphabetEnd &&
                       kAlphabet.to_byte[character.code_point] >= 0;
    if (!known) return std::string(text);
    bytes.push_back(static_cast<char>(kAlphabet.to_byte[character.code_point]));
    rest.remove_prefix(character.num_bytes);
  }
  return bytes;
}

}  // namespace tandem
