// The about hundred characters whose upper or title case is several characters, such as U+00DF,
// which utf8proc's one-to-one mappings cannot express.
#pragma once

namespace tandem::jinja {

struct SpecialCasing {
  char32_t code_point;
  const char* upper;  // UTF-8
  const char* title;  // UTF-8
};

// Null where the one-to-one mapping holds.
const SpecialCasing* FindSpecialCasing(char32_t code_point);

}  // namespace tandem::jinja
