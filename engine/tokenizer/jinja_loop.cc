#include "engine/tokenizer/jinja_loop.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_operators.h"

namespace tandem::jinja {

Loop::Loop(Runtime& runtime, std::shared_ptr<Iterator> iterator, std::optional<int64_t> length,
           int depth, Recursion recursion)
    : runtime_(runtime),
      iterator_(std::move(iterator)),
      length_(length),
      depth_(depth),
      recursion_(std::move(recursion)) {}

absl::StatusOr<std::optional<Value>> Loop::PeekNext() {
  if (!has_peeked_ && iterator_ != nullptr) {
    ASSIGN_OR_RETURN(after_, iterator_->Next());
    has_peeked_ = true;
  }
  return after_;
}

absl::StatusOr<std::optional<Value>> Loop::Next() {
  ASSIGN_OR_RETURN(std::optional<Value> item, PeekNext());
  if (!item.has_value()) return std::nullopt;
  has_peeked_ = false;
  after_.reset();
  ++index_;
  before_ = std::exchange(current_, item);
  return item;
}

absl::StatusOr<std::optional<int64_t>> Loop::Length() {
  if (length_.has_value()) return length_;
  std::vector<Value> rest;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<Value> item, iterator_->Next());
    if (!item.has_value()) break;
    RETURN_IF_ERROR(runtime_.Charge(1));
    rest.push_back(*std::move(item));
  }
  const int64_t num_peeked = after_.has_value() ? 1 : 0;
  length_ = index_ + 1 + num_peeked + static_cast<int64_t>(rest.size());
  ASSIGN_OR_RETURN(iterator_, jinja::Iterate(Value::List(std::move(rest))));
  return length_;
}

absl::StatusOr<std::optional<Value>> Loop::Attribute(const Value& self, absl::string_view name) {
  if (name == "index0") return Value::Int(index_);
  if (name == "index") return Value::Int(index_ + 1);
  if (name == "first") return Value::Bool(index_ == 0);
  if (name == "depth0") return Value::Int(depth_);
  if (name == "depth") return Value::Int(depth_ + 1);
  if (name == "last") {
    ASSIGN_OR_RETURN(const std::optional<Value> next, PeekNext());
    return Value::Bool(!next.has_value());
  }
  if (name == "previtem") {
    return before_.has_value() ? *before_ : Value::Undefined("there is no previous item");
  }
  if (name == "nextitem") {
    ASSIGN_OR_RETURN(std::optional<Value> next, PeekNext());
    return next.has_value() ? *std::move(next) : Value::Undefined("there is no next item");
  }
  if (name == "cycle") {
    return MakeFunction(
        "cycle", [self, this](Runtime&, const Arguments& arguments) { return Cycle(arguments); });
  }
  if (name == "changed") {
    return MakeFunction("changed", [self, this](Runtime&, const Arguments& arguments) {
      return Changed(arguments);
    });
  }
  return CountedAttribute(name);
}

absl::StatusOr<std::optional<Value>> Loop::CountedAttribute(absl::string_view name) {
  if (name != "length" && name != "revindex" && name != "revindex0") return std::nullopt;
  ASSIGN_OR_RETURN(const std::optional<int64_t> length, Length());
  if (name == "length") return Value::Int(*length);
  return Value::Int(*length - index_ - (name == "revindex" ? 0 : 1));
}

absl::StatusOr<Value> Loop::Cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) {
    return absl::InvalidArgumentError("no items for cycling given");
  }
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

absl::StatusOr<Value> Loop::Changed(const Arguments& arguments) {
  const Value values = Value::Tuple(arguments.positional);
  if (last_changed_.has_value()) {
    ASSIGN_OR_RETURN(const bool same, Equals(runtime_, *last_changed_, values));
    if (same) return Value::Bool(false);
  }
  last_changed_ = values;
  return Value::Bool(true);
}

absl::StatusOr<Value> Loop::Call(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("loop", {"iterable"}, 1, arguments));
  if (recursion_ == nullptr) {
    return absl::InvalidArgumentError(
        "The loop must have the 'recursive' marker to be called recursively.");
  }
  return recursion_(*bound[0], depth_ + 1);
}

void Loop::Clear() {
  last_changed_.reset();
  before_.reset();
  current_.reset();
  after_.reset();
  has_peeked_ = true;
  if (!length_.has_value()) length_ = index_ + 1;
  iterator_.reset();
}

}  // namespace tandem::jinja
