#include "scheduler/instance_options.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {

absl::Status InstanceOptions::Validate() const {
  const auto check = [](absl::string_view field, int value, int least) {
    if (value >= least) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(field, " must be at least ", least, ", got ", value));
  };
  RETURN_IF_ERROR(check("num_blocks", num_blocks, 1));
  RETURN_IF_ERROR(check("block_size", block_size, 1));
  RETURN_IF_ERROR(check("num_host_blocks", num_host_blocks, 0));
  RETURN_IF_ERROR(check("max_model_len", max_model_len, 2));
  RETURN_IF_ERROR(check("max_num_seqs", max_num_seqs, 1));
  RETURN_IF_ERROR(check("max_num_batched_tokens", max_num_batched_tokens, max_num_seqs));
  RETURN_IF_ERROR(check("prefill_batch_tokens", prefill_batch_tokens, 1));
  RETURN_IF_ERROR(check("max_queued_requests", max_queued_requests, 1));
  RETURN_IF_ERROR(check("depth", depth, 1));
  if (lease > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("lease must be above 0, got ", absl::FormatDuration(lease)));
}

absl::Status InstanceOptions::CheckFits(const Request& request) const {
  const int64_t num_prompt = static_cast<int64_t>(request.prompt.size());
  if (num_prompt == 0) return absl::InvalidArgumentError("prompt has no tokens");
  if (num_prompt >= max_model_len) {
    return absl::InvalidArgumentError(absl::StrCat("prompt has ", num_prompt,
                                                   " tokens, which leaves no room for output in ",
                                                   "max_model_len ", max_model_len));
  }
  // A sequence that is decoded here ends where the pool does; see LengthLimit.
  int64_t num_tokens = num_prompt;
  if (request.hand_off) num_tokens += static_cast<int64_t>(request.generated.size());
  const int64_t num_needed = (num_tokens + block_size - 1) / block_size;
  if (num_needed <= num_blocks) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("prompt of ", num_tokens, " tokens needs ",
                                                   num_needed, " KV blocks, the pool has ",
                                                   num_blocks));
}

int InstanceOptions::LengthLimit(const Request& request) const {
  const int64_t wanted =
      static_cast<int64_t>(request.prompt.size()) + std::max(request.sampling.max_tokens, 1);
  const int64_t limit = std::min<int64_t>(wanted, max_model_len);
  if (request.hand_off) return static_cast<int>(limit);  // grows in another pool
  // The KV of the last token is never stored.
  return static_cast<int>(std::min(limit, int64_t{num_blocks} * block_size + 1));
}

}  // namespace tandem
