#include "engine/tokenizer/jinja_runtime.h"

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem::jinja {
namespace {

// So the steps bound the memory too: text that is kept, and lists (a value has 48 bytes).
constexpr size_t kBytesPerStep = 64;

}  // namespace

Runtime::~Runtime() {
  for (const std::shared_ptr<Mutable>& cell : cells_) cell->Clear();
}

absl::Status Runtime::Charge(int64_t num_steps) {
  steps_left_ -= num_steps;
  if (steps_left_ >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the template runs longer than the limit of ", limits_.max_steps, " steps"));
}

absl::Status Runtime::CheckText(size_t num_bytes) const {
  if (num_bytes <= limits_.max_text_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the template makes a text of more than ", limits_.max_text_bytes, " bytes"));
}

absl::Status Runtime::ChargeText(size_t num_bytes) {
  RETURN_IF_ERROR(CheckText(num_bytes));
  return Charge(static_cast<int64_t>(num_bytes / kBytesPerStep));
}

absl::Status Runtime::ChargeSearch(size_t text_bytes, size_t wanted_bytes) {
  return Charge(
      static_cast<int64_t>(text_bytes / kBytesPerStep * (1 + wanted_bytes / kBytesPerStep)));
}

absl::Status Runtime::Nesting::Check() const {
  if (runtime_.depth_ <= runtime_.limits_.max_depth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the template nests calls and expressions deeper than ",
                   runtime_.limits_.max_depth, " levels"));
}

}  // namespace tandem::jinja
