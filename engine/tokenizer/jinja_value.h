// The values of the template language: Python's None, bool, int, float, str, list, tuple and dict,
// Jinja's Undefined, and objects with behaviour (macros, loops, iterators...).
//
//   const Value words = Value::List({Value::String("a"), Value::Int(1)});
//
// Values are immutable and cheap to copy: text and containers are shared. What a template can
// change (namespaces, loops) is an Object. Thread rule: a value belongs to one render.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::jinja {

class Dict;
class Object;
class Value;

// Python's int has no limit. 128 bits hold every integer of JSON; what overflows is an error.
using Integer = __int128;

// Containers nested deeper than this are an error, so that no recursion over a value can exhaust
// the stack. Python itself gives up near 1000.
inline constexpr int kMaxValueDepth = 400;

enum class Kind { kUndefined, kNone, kBool, kInt, kFloat, kString, kList, kTuple, kDict, kObject };

// Items of a list or tuple.
struct Sequence {
  std::vector<Value> items;
  int depth = 1;
  bool is_group = false;  // A pair of the groupby filter: also has the names `grouper` and `list`.
};

class Value {
 public:
  // None.
  Value() = default;

  // `message` says what was missing; using the value in most ways fails with it.
  static Value Undefined(std::string message);
  static Value Bool(bool value) { return Value(value); }
  static Value Int(Integer value) { return Value(value); }
  static Value Float(double value) { return Value(value); }
  // `text` must be valid UTF-8.
  static Value String(std::string text);
  static Value String(absl::string_view text) { return String(std::string(text)); }
  // Text that is HTML already, as made by the filters `safe` and `escape`: text added to it is
  // escaped.
  static Value Markup(std::string text);
  static Value List(std::vector<Value> items);
  static Value Tuple(std::vector<Value> items);
  static Value Group(Value key, Value members);
  static Value Mapping(Dict dict);
  static Value FromObject(std::shared_ptr<Object> object);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const { return kind() == Kind::kUndefined; }
  bool is_none() const { return kind() == Kind::kNone; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_int() const { return kind() == Kind::kInt; }
  bool is_float() const { return kind() == Kind::kFloat; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_list() const { return kind() == Kind::kList; }
  bool is_tuple() const { return kind() == Kind::kTuple; }
  bool is_sequence() const { return is_list() || is_tuple(); }
  bool is_dict() const { return kind() == Kind::kDict; }
  bool is_object() const { return kind() == Kind::kObject; }
  // int or bool, which Python counts with.
  bool is_integral() const { return is_int() || is_bool(); }
  bool is_number() const { return is_integral() || is_float(); }
  bool is_markup() const;

  // Each wants a value of that kind.
  const std::string& undefined_message() const;
  bool boolean() const { return std::get<bool>(data_); }
  Integer integer() const;  // of an int or a bool
  double number() const;    // of an int, bool or float
  const std::string& text() const;
  const Sequence& sequence() const;
  const std::vector<Value>& items() const { return sequence().items; }
  const Dict& dict() const;
  const std::shared_ptr<Object>& object() const { return std::get<std::shared_ptr<Object>>(data_); }

  // How deeply containers nest: 0 for a scalar.
  int depth() const;
  // Python's `is`: the same object, not an equal one.
  bool IsSame(const Value& other) const;

 private:
  struct Text {
    std::shared_ptr<const std::string> text;
    bool is_markup = false;
  };
  struct ListItems {
    std::shared_ptr<const Sequence> sequence;
  };
  struct TupleItems {
    std::shared_ptr<const Sequence> sequence;
  };
  struct Missing {
    std::shared_ptr<const std::string> message;
  };
  // In the order of Kind.
  using Data = std::variant<Missing, std::monostate, bool, Integer, double, Text, ListItems,
                            TupleItems, std::shared_ptr<const Dict>, std::shared_ptr<Object>>;

  template <typename T>
  explicit Value(T data) : data_(std::move(data)) {}

  Data data_ = std::monostate();
};

// A dict: any hashable keys, in the order of insertion.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  // Adds an entry or replaces the value of an equal key. INVALID_ARGUMENT for an unhashable key.
  absl::Status Set(Value key, Value value);
  // Null where no key is equal. The second fails for an unhashable key.
  const Value* Find(absl::string_view key) const;
  absl::StatusOr<const Value*> Find(const Value& key) const;

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  int depth() const { return depth_; }

 private:
  std::vector<Entry> entries_;
  absl::flat_hash_map<std::string, size_t> index_;  // HashKey of the key -> entry
  int depth_ = 1;
};

// A text that is equal exactly for equal values (1 == 1.0 == True), for use as a key.
// INVALID_ARGUMENT for an unhashable value, such as a list.
absl::StatusOr<std::string> HashKey(const Value& value);

// Python's name of the type: "str", "int", "dict"...
std::string TypeName(const Value& value);

// The same as the messages of Jinja name it: "dict object", "None".
std::string DescribeType(const Value& value);

// Decimal digits; iostreams do not know 128 bits.
std::string IntegerToString(Integer value);

}  // namespace tandem::jinja
