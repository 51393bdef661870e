#include "engine/tokenizer/jinja_object.h"

#include "absl/strings/str_cat.h"

namespace tandem::jinja {
namespace {

class FunctionIterator : public Iterator {
 public:
  explicit FunctionIterator(std::function<absl::StatusOr<std::optional<Value>>()> next)
      : next_(std::move(next)) {}

  absl::StatusOr<std::optional<Value>> Next() override {
    if (done_) return std::nullopt;
    absl::StatusOr<std::optional<Value>> item = next_();
    done_ = !item.ok() || !item->has_value();
    return item;
  }

 private:
  std::function<absl::StatusOr<std::optional<Value>>()> next_;
  bool done_ = false;
};

Integer RangeLength(Integer start, Integer stop, Integer step) {
  if (step > 0) return start < stop ? (stop - start + step - 1) / step : 0;
  return start > stop ? (start - stop - step - 1) / -step : 0;
}

}  // namespace

std::string Object::Repr() const { return absl::StrCat("<", type_name(), " object>"); }

absl::StatusOr<std::optional<Value>> Object::Attribute(const Value& self, absl::string_view name) {
  return std::nullopt;
}

absl::StatusOr<Value> Object::Call(Runtime& runtime, const Arguments& arguments) {
  return absl::InvalidArgumentError(absl::StrCat("'", type_name(), "' object is not callable"));
}

Value MakeGenerator(std::function<absl::StatusOr<std::optional<Value>>()> next, int depth) {
  return Value::FromObject(
      std::make_shared<IteratorObject>(std::make_shared<FunctionIterator>(std::move(next)), depth));
}

Value MakeFunction(std::string name, Function::Body body, int depth) {
  return Value::FromObject(std::make_shared<Function>(std::move(name), std::move(body), depth));
}

Range::Range(Integer start, Integer stop, Integer step)
    : start_(start),
      stop_(stop),
      step_(step),
      length_(static_cast<int64_t>(RangeLength(start, stop, step))) {}

std::string Range::Repr() const {
  const std::string step = step_ == 1 ? "" : absl::StrCat(", ", IntegerToString(step_));
  return absl::StrCat("range(", IntegerToString(start_), ", ", IntegerToString(stop_), step, ")");
}

std::shared_ptr<Iterator> Range::Iterate() {
  return std::make_shared<FunctionIterator>(
      [range = *this, index = int64_t{0}]() mutable -> absl::StatusOr<std::optional<Value>> {
        if (index == range.length()) return std::nullopt;
        return Value::Int(range.At(index++));
      });
}

std::string DictView::type_name() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      return "dict_items";
  }
  return "";
}

Value DictView::At(size_t index) const {
  const Dict::Entry& entry = dict_.dict().entries()[index];
  if (part_ == Part::kKeys) return entry.first;
  if (part_ == Part::kValues) return entry.second;
  return Value::Tuple({entry.first, entry.second});
}

std::shared_ptr<Iterator> DictView::Iterate() {
  return std::make_shared<FunctionIterator>(
      [view = *this, index = size_t{0}]() mutable -> absl::StatusOr<std::optional<Value>> {
        if (index == view.dict().dict().size()) return std::nullopt;
        return view.At(index++);
      });
}

}  // namespace tandem::jinja
