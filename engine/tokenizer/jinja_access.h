// Reaching into values: attributes, subscripts, slices, iteration, length.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// object.name: a method or attribute, then an item of that key, else an Undefined. Attributes that
// the sandbox forbids (private ones, methods that change a list or dict) are an Undefined too.
// INVALID_ARGUMENT for an attribute of an Undefined.
absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name);

// object[key]: an item, then an attribute of that name, else an Undefined.
absl::StatusOr<Value> GetItem(const Value& object, const Value& key);

// The attribute alone, without the fallback to an item (the filter `attr`). Nullopt: there is none.
absl::StatusOr<std::optional<Value>> FindAttribute(const Value& object, absl::string_view name);

// object[start:stop:step] with None for what is left out.
absl::StatusOr<Value> GetSlice(Runtime& runtime, const Value& object, const Value& start,
                               const Value& stop, const Value& step);

bool IsIterable(const Value& value);
// Items of a list or tuple, keys of a dict, characters of a text, what an object yields; nothing
// for an Undefined. INVALID_ARGUMENT where the value is not iterable.
absl::StatusOr<std::shared_ptr<Iterator>> Iterate(const Value& value);
// All of them; runs a generator to its end.
absl::StatusOr<std::vector<Value>> ToVector(Runtime& runtime, const Value& value);

// len(); nullopt for what has none.
absl::StatusOr<std::optional<int64_t>> GetLength(const Value& value);

// Whether Python's reversed() takes the value, and its items in that order.
absl::StatusOr<std::vector<Value>> Reversed(Runtime& runtime, const Value& value);

}  // namespace tandem::jinja
