// DistServe's fitted step times and KV capacities of A100s, as its public profile files hold them.
//
//   ASSIGN_OR_RETURN(const DistServeProfile profile, DistServeProfile::Parse(json, csv));
//   ASSIGN_OR_RETURN(const PhaseModel prefill, profile.Find("facebook/opt-13b", 2, 1));
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Time of a step in ms over all layers: [0] + [1] * tokens + [2] * (squared lengths | batch size).
using StepFit = std::array<double, 3>;

// A model at one TP.
struct StepFits {
  StepFit prefill = {};       // tokens, squared lengths
  StepFit small_decode = {};  // context tokens, sequences; below `large_batch` sequences
  StepFit large_decode = {};
  int large_batch = 95;
};

// What one phase of a model runs on: an instance of TP x PP GPUs.
struct PhaseModel {
  StepFits fits;
  int pp = 1;                  // stages
  int64_t max_num_tokens = 0;  // KV capacity of the instance
};

class DistServeProfile {
 public:
  // Reads a profile, JSON {model: {TP: {decoding_large_small_bs_threshold, prefill,
  // decoding_smallbs, decoding_largebs}}}, and capacities, CSV with the header
  // model,tp,pp,max_num_tokens. INVALID_ARGUMENT names the model, TP or line that is wrong.
  static absl::StatusOr<DistServeProfile> Parse(absl::string_view json, absl::string_view csv);

  // A phase of `model` at `tp` and `pp`. FAILED_PRECONDITION where DistServe cannot run it: no step
  // times for the TP, or no capacity for the pair.
  absl::StatusOr<PhaseModel> Find(const std::string& model, int tp, int pp) const;

 private:
  std::map<std::string, std::map<int, StepFits>> fits_;
  std::map<std::tuple<std::string, int, int>, int64_t> capacities_;
};

}  // namespace tandem
