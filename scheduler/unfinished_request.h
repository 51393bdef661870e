// What an instance has still to do for a request. Plain data.
#pragma once

#include <cstdint>

#include "engine/core/ids.h"

namespace tandem {

struct UnfinishedRequest {
  RequestId id;
  uint32_t attempt = 0;
  int64_t num_tokens_before = 0;  // to be computed for it, and for those whose turn is before
  int num_tokens_to_draw = 0;     // at most: it may stop earlier
};

}  // namespace tandem
