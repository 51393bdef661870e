// The global functions of templates: range, dict, namespace, cycler, joiner of Jinja, and
// raise_exception, strftime_now of transformers.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// What `namespace(...)` makes: the one thing whose attributes {% set %} can change.
class Namespace : public Object, public Mutable {
 public:
  explicit Namespace(Dict attributes) : attributes_(std::move(attributes)) {}

  std::string type_name() const override { return "jinja2.utils.Namespace"; }
  absl::StatusOr<std::optional<Value>> Attribute(const Value& self,
                                                 absl::string_view name) override;
  // INVALID_ARGUMENT for a name that begins with an underscore, as transformers has it.
  absl::Status SetAttribute(absl::string_view name, Value value);
  void Clear() override { attributes_ = Dict(); }

 private:
  Dict attributes_;
};

// By name. The functions are good for every render.
const absl::flat_hash_map<std::string, Value>& GlobalFunctions();

// `now` in `zone` as Python's datetime.strftime writes it, with English names. INVALID_ARGUMENT for
// a format whose result is longer than 64 KiB.
absl::StatusOr<std::string> FormatTime(const std::string& format, absl::Time now,
                                       absl::TimeZone zone);

}  // namespace tandem::jinja
