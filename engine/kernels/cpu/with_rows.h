// From a number of rows to a template's argument: register tiles are unrolled over their rows.
#pragma once

namespace tandem {

// Calls visit.template operator()<n>() for the n in [1, kMost] that num_rows is.
template <int kMost, typename Visit>
[[gnu::always_inline]] inline void WithRows(int num_rows, Visit visit) {
  if constexpr (kMost > 1) {
    if (num_rows < kMost) return WithRows<kMost - 1>(num_rows, visit);
  }
  visit.template operator()<kMost>();
}

}  // namespace tandem
