// Values with behaviour, and the iteration protocol.
//
// An Object answers what Python would ask of it: attributes, calls, iteration, length. The default
// of everything is Python's "has none".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/jinja_value.h"

namespace tandem::jinja {

class Runtime;

// Positional and keyword arguments of a call, filter or test.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

// Produces items one by one; may run template code on the way, as Python's generators do.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // The next item, or nullopt at the end, and from then on.
  virtual absl::StatusOr<std::optional<Value>> Next() = 0;
};

class Object {
 public:
  virtual ~Object() = default;

  // Python's name of the type, such as "range".
  virtual std::string type_name() const = 0;
  // Python's repr().
  virtual std::string Repr() const;
  virtual bool IsTrue() const { return true; }

  // The attribute `name`; nullopt where there is none. `self` is the value that holds this object.
  virtual absl::StatusOr<std::optional<Value>> Attribute(const Value& self, absl::string_view name);

  virtual bool callable() const { return false; }
  virtual absl::StatusOr<Value> Call(Runtime& runtime, const Arguments& arguments);

  // Null where it cannot be iterated.
  virtual std::shared_ptr<Iterator> Iterate() { return nullptr; }
  // len(); nullopt where it has none.
  virtual absl::StatusOr<std::optional<int64_t>> Length() { return std::nullopt; }

  // How deeply it nests other values, as Value::depth().
  virtual int depth() const { return 0; }
};

// A generator: can be iterated once.
class IteratorObject : public Object {
 public:
  // `depth`: that of the values that `iterator` holds.
  IteratorObject(std::shared_ptr<Iterator> iterator, int depth)
      : iterator_(std::move(iterator)), depth_(depth + 1) {}

  std::string type_name() const override { return "generator"; }
  std::shared_ptr<Iterator> Iterate() override { return iterator_; }
  int depth() const override { return depth_; }

 private:
  std::shared_ptr<Iterator> iterator_;
  int depth_;
};

// An iterator from a function with the contract of Iterator::Next.
Value MakeGenerator(std::function<absl::StatusOr<std::optional<Value>>()> next, int depth);

// A native function as a value.
class Function : public Object {
 public:
  using Body = std::function<absl::StatusOr<Value>(Runtime&, const Arguments&)>;

  // `depth`: that of the values that `body` holds.
  Function(std::string name, Body body, int depth = 0)
      : name_(std::move(name)), body_(std::move(body)), depth_(depth) {}

  std::string type_name() const override { return "builtin_function_or_method"; }
  std::string Repr() const override { return "<built-in function " + name_ + ">"; }
  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const Arguments& arguments) override {
    return body_(runtime, arguments);
  }
  int depth() const override { return depth_; }

 private:
  std::string name_;
  Body body_;
  int depth_;
};

Value MakeFunction(std::string name, Function::Body body, int depth = 0);

// range(start, stop, step).
class Range : public Object {
 public:
  // `step` is not 0. The length fits in 64 bits.
  Range(Integer start, Integer stop, Integer step);

  std::string type_name() const override { return "range"; }
  std::string Repr() const override;
  bool IsTrue() const override { return length_ > 0; }
  std::shared_ptr<Iterator> Iterate() override;
  absl::StatusOr<std::optional<int64_t>> Length() override { return length_; }

  Integer At(int64_t index) const { return start_ + step_ * index; }
  int64_t length() const { return length_; }
  Integer step() const { return step_; }

 private:
  Integer start_;
  Integer stop_;
  Integer step_;
  int64_t length_;
};

// dict.keys(), .values(), .items().
class DictView : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };

  // `dict` is a dict.
  DictView(Value dict, Part part) : dict_(std::move(dict)), part_(part) {}

  std::string type_name() const override;
  bool IsTrue() const override { return dict_.dict().size() > 0; }
  std::shared_ptr<Iterator> Iterate() override;
  absl::StatusOr<std::optional<int64_t>> Length() override {
    return static_cast<int64_t>(dict_.dict().size());
  }
  int depth() const override { return dict_.depth() + 1; }

  // The item number `index` of the view.
  Value At(size_t index) const;
  const Value& dict() const { return dict_; }
  Part part() const { return part_; }

 private:
  Value dict_;
  Part part_;
};

// Null where `value` is none of that class.
template <typename T>
T* ObjectCast(const Value& value) {
  return value.is_object() ? dynamic_cast<T*>(value.object().get()) : nullptr;
}

}  // namespace tandem::jinja
