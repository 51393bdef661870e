// The filters of Jinja: value|name(arguments).
//
// Those that yield items (map, select, batch...) are generators as in Jinja: they run as far as
// their items are asked for, once.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

using Filter = absl::StatusOr<Value> (*)(Runtime& runtime, const Value& input,
                                         const Arguments& arguments);

// Whether Jinja has a filter of that name.
bool IsKnownFilter(absl::string_view name);

// INVALID_ARGUMENT for a name that is no filter and for what Jinja raises; UNIMPLEMENTED for a
// filter of Jinja that is not built here.
absl::StatusOr<Value> CallFilter(Runtime& runtime, absl::string_view name, const Value& input,
                                 const Arguments& arguments);

// The tables, one per file. Null: no such filter.
Filter FindTextFilter(absl::string_view name);      // jinja_text_filters.cc
Filter FindScalarFilter(absl::string_view name);    // jinja_scalar_filters.cc
Filter FindSequenceFilter(absl::string_view name);  // jinja_sequence_filters.cc
Filter FindOrderFilter(absl::string_view name);     // jinja_order_filters.cc
Filter FindSelectFilter(absl::string_view name);    // jinja_select_filters.cc

// The argument `attribute` of many filters: "a.b.0" reaches into items. A null or none `path`
// leaves them as they are. With `ignore_case`, a text that is found comes in lower case.
class AttributePath {
 public:
  // INVALID_ARGUMENT for a path that is neither text nor integer.
  static absl::StatusOr<AttributePath> Parse(const Value* path);

  // Where an attribute on the way is undefined, `fallback` takes its place if it is not null.
  absl::StatusOr<Value> Get(const Value& item, const Value* fallback = nullptr) const;

 private:
  std::vector<Value> parts_;
};

// A text in lower case, anything else as it is.
Value IgnoreCase(const Value& value);

}  // namespace tandem::jinja
