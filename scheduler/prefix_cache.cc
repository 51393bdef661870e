#include "scheduler/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "engine/core/log.h"

namespace tandem {

const PrefixCache::Entry* PrefixCache::Lookup(uint64_t key, uint64_t parent,
                                              absl::Span<const TokenId> tokens) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.parent != parent) return nullptr;
  return absl::MakeConstSpan(found->second.tokens) == tokens ? &found->second : nullptr;
}

bool PrefixCache::IsAlive(const PrefixChain& chain) const {
  if (chain.node == 0) return chain.num_blocks == 0;
  const auto found = entries_.find(chain.key);
  return found != entries_.end() && found->second.node == chain.node;
}

std::optional<BlockId> PrefixCache::Find(absl::Span<const TokenId> tokens,
                                         PrefixChain* chain) const {
  const uint64_t key = ExtendPrefixKey(chain->key, tokens);
  const Entry* entry = Lookup(key, chain->node, tokens);
  if (entry == nullptr) return std::nullopt;
  *chain = {.key = key, .node = entry->node, .num_blocks = chain->num_blocks + 1};
  return entry->block;
}

bool PrefixCache::Insert(absl::Span<const TokenId> tokens, BlockId block, PrefixChain* chain) {
  if (!IsAlive(*chain)) return false;
  if (Find(tokens, chain)) return false;
  CHECK(!Contains(block)) << "block " << block << " holds another prefix";
  const uint64_t key = ExtendPrefixKey(chain->key, tokens);
  // What is there instead cannot be found any more, or has the same key by chance.
  if (entries_.contains(key)) return false;
  entries_[key] = {.node = ++last_node_,
                   .parent = chain->node,
                   .tokens = std::vector<TokenId>(tokens.begin(), tokens.end()),
                   .block = block};
  if (static_cast<size_t>(block) >= by_block_.size()) by_block_.resize(block + 1);
  by_block_[block].key = key;
  by_block_[block].node = last_node_;
  journal_.Add(key);
  *chain = {.key = key, .node = last_node_, .num_blocks = chain->num_blocks + 1};
  return true;
}

void PrefixCache::SetUsed(BlockId block) {
  Place& place = by_block_[block];
  if (!place.is_unused) return;
  unused_.erase(place.unused);
  place.is_unused = false;
}

void PrefixCache::SetUnused(BlockId block) {
  SetUsed(block);
  Place& place = by_block_[block];
  place.unused = unused_.insert(unused_.end(), block);
  place.is_unused = true;
}

BlockId PrefixCache::TakeOldest() {
  CHECK(!unused_.empty()) << "every block of the prefix cache is used";
  const BlockId block = unused_.front();
  unused_.pop_front();
  entries_.erase(by_block_[block].key);
  journal_.Remove(by_block_[block].key);
  by_block_[block] = {};
  return block;
}

void PrefixCache::RestartChanges() {
  std::vector<std::pair<uint64_t, uint64_t>> held;  // nodes, whose numbers rise, and keys
  for (const Place& place : by_block_) {
    if (place.node != 0) held.emplace_back(place.node, place.key);
  }
  std::sort(held.begin(), held.end());
  std::vector<uint64_t> keys;
  keys.reserve(held.size());
  for (const auto& [node, key] : held) keys.push_back(key);
  journal_.Restart(keys);
}

}  // namespace tandem
