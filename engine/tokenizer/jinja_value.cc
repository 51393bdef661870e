#include "engine/tokenizer/jinja_value.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_object.h"

namespace tandem::jinja {
namespace {

// A tuple key made of itself many times over would have an exponential text.
constexpr size_t kMaxHashKeyBytes = 1 << 20;

std::shared_ptr<const Sequence> MakeSequence(std::vector<Value> items, bool is_group = false) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return std::make_shared<const Sequence>(
      Sequence{.items = std::move(items), .depth = depth + 1, .is_group = is_group});
}

bool IsWholeNumber(double number) {
  return std::floor(number) == number && std::abs(number) < 1e37;
}

// A text cannot begin with the byte 0 and go unmarked: that byte marks all other kinds.
std::string TextKey(absl::string_view text) {
  if (text.empty() || text[0] != '\0') return std::string(text);
  return absl::StrCat(absl::string_view("\0s", 2), text);
}

absl::Status AppendHashKey(const Value& value, std::string* key) {
  switch (value.kind()) {
    case Kind::kUndefined:
      key->append("\0u", 2);
      break;
    case Kind::kNone:
      key->append("\0n", 2);
      break;
    case Kind::kBool:
    case Kind::kInt:
      absl::StrAppend(key, absl::string_view("\0i", 2), IntegerToString(value.integer()), ";");
      break;
    case Kind::kFloat:
      if (IsWholeNumber(value.number())) {
        return AppendHashKey(Value::Int(static_cast<Integer>(value.number())), key);
      }
      absl::StrAppend(key, absl::string_view("\0f", 2),
                      absl::Hex(std::bit_cast<uint64_t>(value.number())), ";");
      break;
    case Kind::kString:
      absl::StrAppend(key, absl::string_view("\0s", 2), value.text().size(), ":", value.text());
      break;
    case Kind::kTuple:
      key->append("\0t", 2);
      for (const Value& item : value.items()) {
        RETURN_IF_ERROR(AppendHashKey(item, key));
        if (key->size() > kMaxHashKeyBytes) {
          return absl::InvalidArgumentError("the key of a dict is too large");
        }
      }
      key->push_back(')');
      break;
    case Kind::kObject:
      absl::StrAppend(key, absl::string_view("\0o", 2),
                      absl::Hex(reinterpret_cast<uintptr_t>(value.object().get())), ";");
      break;
    case Kind::kList:
    case Kind::kDict:
      return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", TypeName(value), "'"));
  }
  return absl::OkStatus();
}

}  // namespace

Value Value::Undefined(std::string message) {
  return Value(Missing{std::make_shared<const std::string>(std::move(message))});
}

Value Value::String(std::string text) {
  return Value(Text{std::make_shared<const std::string>(std::move(text)), false});
}

Value Value::Markup(std::string text) {
  return Value(Text{std::make_shared<const std::string>(std::move(text)), true});
}

Value Value::List(std::vector<Value> items) {
  return Value(ListItems{MakeSequence(std::move(items))});
}

Value Value::Tuple(std::vector<Value> items) {
  return Value(TupleItems{MakeSequence(std::move(items))});
}

Value Value::Group(Value key, Value members) {
  return Value(TupleItems{MakeSequence({std::move(key), std::move(members)}, /*is_group=*/true)});
}

Value Value::Mapping(Dict dict) { return Value(std::make_shared<const Dict>(std::move(dict))); }

Value Value::FromObject(std::shared_ptr<Object> object) { return Value(std::move(object)); }

bool Value::is_markup() const { return is_string() && std::get<Text>(data_).is_markup; }

const std::string& Value::undefined_message() const { return *std::get<Missing>(data_).message; }

Integer Value::integer() const { return is_bool() ? boolean() : std::get<Integer>(data_); }

double Value::number() const {
  return is_float() ? std::get<double>(data_) : static_cast<double>(integer());
}

const std::string& Value::text() const { return *std::get<Text>(data_).text; }

const Sequence& Value::sequence() const {
  return is_list() ? *std::get<ListItems>(data_).sequence : *std::get<TupleItems>(data_).sequence;
}

const Dict& Value::dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }

int Value::depth() const {
  if (is_sequence()) return sequence().depth;
  if (is_dict()) return dict().depth();
  return is_object() ? object()->depth() : 0;
}

bool Value::IsSame(const Value& other) const {
  if (kind() != other.kind()) return false;
  // CPython keeps one object for each of these, and for the small integers.
  constexpr Integer kSmallestShared = -5;
  constexpr Integer kLargestShared = 256;
  switch (kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return boolean() == other.boolean();
    case Kind::kInt:
      return integer() == other.integer() && integer() >= kSmallestShared &&
             integer() <= kLargestShared;
    case Kind::kFloat:
      return false;
    case Kind::kUndefined:
      return std::get<Missing>(data_).message == std::get<Missing>(other.data_).message;
    case Kind::kString:
      return std::get<Text>(data_).text == std::get<Text>(other.data_).text &&
             is_markup() == other.is_markup();
    case Kind::kList:
    case Kind::kTuple:
      return &sequence() == &other.sequence();
    case Kind::kDict:
      return &dict() == &other.dict();
    case Kind::kObject:
      return object() == other.object();
  }
  return false;
}

absl::Status Dict::Set(Value key, Value value) {
  ASSIGN_OR_RETURN(std::string hash_key, HashKey(key));
  depth_ = std::max({depth_, key.depth() + 1, value.depth() + 1});
  const auto [found, inserted] = index_.try_emplace(std::move(hash_key), entries_.size());
  if (inserted) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[found->second].second = std::move(value);
  }
  return absl::OkStatus();
}

const Value* Dict::Find(absl::string_view key) const {
  const auto found = !key.empty() && key[0] == '\0' ? index_.find(TextKey(key)) : index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

absl::StatusOr<const Value*> Dict::Find(const Value& key) const {
  if (key.is_string()) return Find(key.text());
  ASSIGN_OR_RETURN(const std::string hash_key, HashKey(key));
  const auto found = index_.find(hash_key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

absl::StatusOr<std::string> HashKey(const Value& value) {
  if (value.is_string()) return TextKey(value.text());
  std::string key;
  RETURN_IF_ERROR(AppendHashKey(value, &key));
  return key;
}

std::string TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return value.object()->type_name();
  }
  return "";
}

std::string DescribeType(const Value& value) {
  return value.is_none() ? "None" : TypeName(value) + " object";
}

std::string IntegerToString(Integer value) {
  if (value == 0) return "0";
  // The magnitude of the smallest Integer is no Integer.
  auto magnitude = static_cast<unsigned __int128>(value);
  if (value < 0) magnitude = -magnitude;
  std::string digits;
  for (; magnitude != 0; magnitude /= 10) {
    digits.push_back(static_cast<char>('0' + static_cast<int>(magnitude % 10)));
  }
  if (value < 0) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

}  // namespace tandem::jinja
