// Names of prompts' beginnings: the same on every process, so that a worker's prefix cache and a
// router can mean the same by them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/core/ids.h"

namespace tandem {

// The key of a prefix that is `block` longer. Different prefixes may have equal keys, by chance or
// because somebody looked for them.
uint64_t ExtendPrefixKey(uint64_t key, absl::Span<const TokenId> block);

// The keys of all prefixes of full blocks of `tokens`, shortest first.
std::vector<uint64_t> PrefixKeys(uint64_t salt, absl::Span<const TokenId> tokens, int block_size);

// What a salt's or a tenant's name stands for; 0 for the empty one.
uint64_t HashName(absl::string_view name);

}  // namespace tandem
