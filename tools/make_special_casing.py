#!/usr/bin/env python3
"""Writes engine/tokenizer/jinja_special_casing.cc: the characters whose upper or title case is more than one character.

    python3 tools/make_special_casing.py > engine/tokenizer/jinja_special_casing.cc

The mappings are those of Python's own str, whose semantics the templates expect.
"""

HEADER = """// Written by tools/make_special_casing.py (Unicode %s). Do not edit.
#include "engine/tokenizer/jinja_special_casing.h"

#include <algorithm>
#include <iterator>

namespace tandem::jinja {
namespace {

// clang-format off
constexpr SpecialCasing kSpecialCasings[] = {
"""
FOOTER = """};
// clang-format on

}  // namespace

const SpecialCasing* FindSpecialCasing(char32_t code_point) {
  const auto* found = std::lower_bound(
      std::begin(kSpecialCasings), std::end(kSpecialCasings), code_point,
      [](const SpecialCasing& casing, char32_t wanted) { return casing.code_point < wanted; });
  return found != std::end(kSpecialCasings) && found->code_point == code_point ? found : nullptr;
}

}  // namespace tandem::jinja"""


def escaped(text):
    return '"' + "".join(f"\\x{byte:02X}" for byte in text.encode()) + '"'


def main():
    import unicodedata

    print(HEADER % unicodedata.unidata_version, end="")
    cells = []
    for code_point in range(0x80, 0x110000):
        character = chr(code_point)
        if len(character.upper()) > 1 or len(character.title()) > 1:
            cells.append(f"{{0x{code_point:04X}, {escaped(character.upper())}, {escaped(character.title())}}},")
    for cell in cells:
        print("    " + cell)
    print(FOOTER)


if __name__ == "__main__":
    main()
