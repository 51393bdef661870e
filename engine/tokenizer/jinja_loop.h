// The variable `loop` inside of {% for %}.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_object.h"
#include "engine/tokenizer/jinja_runtime.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

// Walks the items and knows where it is: loop.index, loop.last, loop.nextitem, loop.cycle(...)...
// Looks one item ahead only when asked, and reads a generator to its end only for its length.
class Loop : public Object, public Mutable {
 public:
  // Renders the loop's body for other items: loop(items) of a recursive loop.
  using Recursion = std::function<absl::StatusOr<Value>(const Value& items, int depth)>;

  // `length`: the number of items where it is known. `depth`: of recursion, from 0.
  Loop(Runtime& runtime, std::shared_ptr<Iterator> iterator, std::optional<int64_t> length,
       int depth, Recursion recursion);

  // Moves to the next item; nullopt at the end.
  absl::StatusOr<std::optional<Value>> Next();

  std::string type_name() const override { return "jinja2.runtime.LoopContext"; }
  absl::StatusOr<std::optional<Value>> Attribute(const Value& self,
                                                 absl::string_view name) override;
  absl::StatusOr<std::optional<int64_t>> Length() override;
  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const Arguments& arguments) override;
  void Clear() override;

 private:
  absl::StatusOr<std::optional<Value>> PeekNext();
  absl::StatusOr<std::optional<Value>> CountedAttribute(absl::string_view name);
  absl::StatusOr<Value> Cycle(const Arguments& arguments) const;
  absl::StatusOr<Value> Changed(const Arguments& arguments);

  Runtime& runtime_;
  std::shared_ptr<Iterator> iterator_;
  std::optional<int64_t> length_;
  const int depth_;
  Recursion recursion_;

  int64_t index_ = -1;  // from 0
  std::optional<Value> before_;
  std::optional<Value> current_;
  bool has_peeked_ = false;
  std::optional<Value> after_;  // what PeekNext found, where it looked
  std::optional<Value> last_changed_;
};

}  // namespace tandem::jinja
