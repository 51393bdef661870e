// Whose turn it is among tenants that share an instance: the one that was served least comes first.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"

namespace tandem {

// Virtual Token Counter (Sheng et al., Fairness in Serving Large Language Models, OSDI 2024): a
// request is stamped with what its tenant has been served so far, in tokens, and requests begin in
// the order of their stamps. A tenant that was idle gets no credit for it: it starts where those
// are who are being served. Of a single tenant the stamps never fall, which is first come, first
// served. Owned by one thread.
class FairClock {
 public:
  // The stamp of a request that arrives; its prompt counts as served from now on.
  int64_t Arrive(uint64_t tenant, int num_prompt_tokens);

  // A request with this stamp begins.
  void Begin(int64_t stamp);

  // An output token was drawn, which costs more of a device than a token of a prompt.
  void Serve(uint64_t tenant);

  // Tenants that are remembered, a bounded number: clients choose their names.
  int num_tenants() const { return static_cast<int>(served_.size()); }

 private:
  void Forget();

  int64_t now_ = 0;  // the largest stamp that has begun, or more, to forget by
  absl::flat_hash_map<uint64_t, int64_t> served_;
};

}  // namespace tandem
