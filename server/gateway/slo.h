// Latency targets: what a request may ask for, and the classes that an operator has named.
//
//   --slo-class interactive=ttft:400,tpot:40,reject
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem {

// What a request is measured by.
struct Slo {
  std::string label = "none";  // the class; "custom": targets without one, "none": no targets
  absl::Duration ttft = absl::InfiniteDuration();
  absl::Duration tpot = absl::InfiniteDuration();
  bool reject_late = false;  // refuse it at once where these are predicted to be missed
};

// What a request says itself; what it leaves out is its class'.
struct SloWish {
  std::string class_name;
  std::optional<absl::Duration> ttft;
  std::optional<absl::Duration> tpot;
  std::optional<bool> reject_late;
};

// Immutable, so thread-safe.
class SloClasses {
 public:
  // No classes.
  SloClasses() = default;

  // INVALID_ARGUMENT says what is wrong with the first bad one of `specs`.
  static absl::StatusOr<SloClasses> Parse(const std::vector<std::string>& specs);

  // NOT_FOUND: there is no such class.
  absl::StatusOr<Slo> Resolve(const SloWish& wish) const;

  // What a request that was refused is counted as: Slo::label, "none" where its class is unknown.
  std::string LabelOf(const SloWish& wish) const;

  bool Has(absl::string_view name) const { return classes_.contains(std::string(name)); }
  // All values that Slo::label may have, so that what is counted by it is bounded.
  std::vector<std::string> Labels() const;

 private:
  std::map<std::string, Slo> classes_;  // by name
};

}  // namespace tandem
