#include "engine/tokenizer/jinja_functions.h"

#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_access.h"
#include "engine/tokenizer/jinja_arguments.h"
#include "engine/tokenizer/jinja_operators.h"
#include "engine/tokenizer/jinja_repr.h"

namespace tandem::jinja {
namespace {

constexpr int64_t kMaxRangeLength = 100'000;  // of Jinja's sandbox

absl::StatusOr<Value> RangeFunction(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("range", {"start", "stop", "step"}, 1, arguments));
  ASSIGN_OR_RETURN(int64_t start, bound.GetInt(0, 0));
  ASSIGN_OR_RETURN(int64_t stop, bound.GetInt(1, 0));
  ASSIGN_OR_RETURN(const int64_t step, bound.GetInt(2, 1));
  if (!bound.Has(1)) stop = std::exchange(start, 0);
  if (step == 0) return absl::InvalidArgumentError("range() arg 3 must not be zero");
  // 128 bits hold the difference of any two.
  const Integer distance = step > 0 ? Integer{stop} - start : Integer{start} - stop;
  const Integer magnitude = step > 0 ? Integer{step} : -Integer{step};
  if (distance > magnitude * kMaxRangeLength) {
    return absl::InvalidArgumentError(
        absl::StrCat("Range too big. The sandbox blocks ranges larger than ", kMaxRangeLength));
  }
  return Value::FromObject(std::make_shared<Range>(start, stop, step));
}

absl::Status AddPairs(Runtime& runtime, const Value& source, Dict* dict) {
  if (source.is_dict()) {
    RETURN_IF_ERROR(runtime.Charge(static_cast<int64_t>(source.dict().size())));
    *dict = source.dict();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, ToVector(runtime, source));
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(std::vector<Value> pair, ToVector(runtime, item));
    if (pair.size() != 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "dictionary update sequence element has length ", pair.size(), "; 2 is required"));
    }
    RETURN_IF_ERROR(dict->Set(std::move(pair[0]), std::move(pair[1])));
  }
  return absl::OkStatus();
}

absl::StatusOr<Dict> MakeDict(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.size() > 1) {
    return absl::InvalidArgumentError("dict expected at most 1 argument");
  }
  Dict dict;
  if (!arguments.positional.empty()) {
    RETURN_IF_ERROR(CheckDefined(arguments.positional[0]));
    RETURN_IF_ERROR(AddPairs(runtime, arguments.positional[0], &dict));
  }
  for (const auto& [name, value] : arguments.keyword) {
    RETURN_IF_ERROR(dict.Set(Value::String(name), value));
  }
  return dict;
}

absl::StatusOr<Value> DictFunction(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Dict dict, MakeDict(runtime, arguments));
  return Value::Mapping(std::move(dict));
}

absl::Status CheckNamespaceName(absl::string_view name) {
  if (!absl::StartsWith(name, "_")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "chat templates cannot store underscore-prefixed attributes on a namespace: '", name, "'"));
}

absl::StatusOr<Value> NamespaceFunction(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Dict attributes, MakeDict(runtime, arguments));
  for (const auto& [key, value] : attributes.entries()) {
    if (key.is_string()) RETURN_IF_ERROR(CheckNamespaceName(key.text()));
  }
  auto result = std::make_shared<Namespace>(std::move(attributes));
  runtime.Own(result);
  return Value::FromObject(std::move(result));
}

class Cycler : public Object, public Mutable {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}

  std::string type_name() const override { return "jinja2.utils.Cycler"; }

  absl::StatusOr<std::optional<Value>> Attribute(const Value& self,
                                                 absl::string_view name) override {
    if (name == "current") return items_[position_];
    if (name == "next") {
      return MakeFunction(
          "next", [self, this](Runtime&, const Arguments&) -> absl::StatusOr<Value> {
            const size_t current = std::exchange(position_, (position_ + 1) % items_.size());
            return items_[current];
          });
    }
    if (name == "reset") {
      return MakeFunction("reset",
                          [self, this](Runtime&, const Arguments&) -> absl::StatusOr<Value> {
                            position_ = 0;
                            return Value();
                          });
    }
    return std::nullopt;
  }
  void Clear() override { items_.assign(1, Value()); }

 private:
  std::vector<Value> items_;
  size_t position_ = 0;
};

absl::StatusOr<Value> CyclerFunction(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.empty()) {
    return absl::InvalidArgumentError("at least one item has to be provided");
  }
  auto cycler = std::make_shared<Cycler>(arguments.positional);
  runtime.Own(cycler);
  return Value::FromObject(std::move(cycler));
}

absl::StatusOr<Value> JoinerFunction(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("joiner", {"sep"}, 0, arguments));
  const Value separator = bound.Has(0) ? *bound[0] : Value::String(absl::string_view(", "));
  return MakeFunction(
      "joiner",
      [separator, used = std::make_shared<bool>(false)](Runtime&,
                                                        const Arguments&) -> absl::StatusOr<Value> {
        if (std::exchange(*used, true)) return separator;
        return Value::String(std::string());
      },
      separator.depth());
}

absl::StatusOr<Value> Lipsum(Runtime&, const Arguments&) {
  return absl::UnimplementedError("the function 'lipsum' is not supported");
}

absl::StatusOr<Value> RaiseException(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("raise_exception", {"message"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string message, ToText(runtime, *bound[0]));
  runtime.set_raised_by_template();
  return absl::InvalidArgumentError(message);
}

absl::StatusOr<Value> StrftimeNow(Runtime& runtime, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("strftime_now", {"format"}, 1, arguments));
  ASSIGN_OR_RETURN(const std::string format, bound.GetString(0, ""));
  ASSIGN_OR_RETURN(std::string text, FormatTime(format, runtime.now(), runtime.zone()));
  return Value::String(std::move(text));
}

// Python's own directives, done before C's: %f is the microseconds; a time without a zone has an
// empty %z and %Z.
std::string ExpandPythonDirectives(const std::string& format, absl::Time now) {
  std::string expanded;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      expanded.push_back(format[i]);
      continue;
    }
    const char directive = format[++i];
    if (directive == 'f') {
      absl::StrAppendFormat(&expanded, "%06d",
                            (absl::ToUnixMicros(now) % 1'000'000 + 1'000'000) % 1'000'000);
    } else if (directive != 'z' && directive != 'Z') {
      expanded.append({'%', directive});
    }
  }
  return expanded;
}

}  // namespace

absl::StatusOr<std::optional<Value>> Namespace::Attribute(const Value& self,
                                                          absl::string_view name) {
  const Value* value = attributes_.Find(name);
  return value == nullptr ? std::nullopt : std::optional<Value>(*value);
}

absl::Status Namespace::SetAttribute(absl::string_view name, Value value) {
  RETURN_IF_ERROR(CheckNamespaceName(name));
  return attributes_.Set(Value::String(name), std::move(value));
}

absl::StatusOr<std::string> FormatTime(const std::string& format, absl::Time now,
                                       absl::TimeZone zone) {
  constexpr size_t kMaxBytes = 64 << 10;
  const std::tm time = absl::ToTM(now, zone);
  // strftime answers 0 for "does not fit" and for an empty result: the space tells them apart.
  const std::string padded = " " + ExpandPythonDirectives(format, now);
  std::string text(kMaxBytes, '\0');
  const size_t size = std::strftime(text.data(), text.size(), padded.c_str(), &time);
  if (size == 0) {
    return absl::InvalidArgumentError("strftime_now(): the result is longer than 64 KiB");
  }
  return text.substr(1, size - 1);
}

const absl::flat_hash_map<std::string, Value>& GlobalFunctions() {
  static const auto* const kFunctions = new absl::flat_hash_map<std::string, Value>({
      {"cycler", MakeFunction("cycler", CyclerFunction)},
      {"dict", MakeFunction("dict", DictFunction)},
      {"joiner", MakeFunction("joiner", JoinerFunction)},
      {"lipsum", MakeFunction("lipsum", Lipsum)},
      {"namespace", MakeFunction("namespace", NamespaceFunction)},
      {"raise_exception", MakeFunction("raise_exception", RaiseException)},
      {"range", MakeFunction("range", RangeFunction)},
      {"strftime_now", MakeFunction("strftime_now", StrftimeNow)},
  });
  return *kFunctions;
}

}  // namespace tandem::jinja
