// The merge loop of byte-pair encoding (Sennrich et al. 2016, "Neural Machine Translation of Rare
// Words with Subword Units", algorithm 1): the best pair of neighbours is merged until none is
// left. A priority queue over a linked list makes it O(n log n) in the length of the piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace tandem {

// A run of bytes of the piece; neighbours are linked. Merged-away symbols have size 0.
struct Symbol {
  int32_t id = -1;  // Token, or -1 while the run is none.
  uint32_t begin = 0;
  uint32_t size = 0;
  int32_t previous = -1;
  int32_t next = -1;
};

// What two neighbours would become.
struct Merge {
  double cost = 0;  // The lowest goes first; among equals the leftmost.
  int32_t id = -1;
};

// Appends a symbol of the next `size` bytes after the last symbol.
inline void AppendSymbol(int32_t id, size_t size, std::vector<Symbol>* symbols) {
  Symbol symbol{.id = id, .size = static_cast<uint32_t>(size)};
  if (!symbols->empty()) {
    symbol.begin = symbols->back().begin + symbols->back().size;
    symbol.previous = static_cast<int32_t>(symbols->size()) - 1;
    symbols->back().next = static_cast<int32_t>(symbols->size());
  }
  symbols->push_back(symbol);
}

// Merges until find(left, right), a std::optional<Merge>, has nothing for any two neighbours.
template <typename Find>
void MergeSymbols(std::vector<Symbol>* symbols, Find find) {
  struct Candidate {
    Merge merge;
    int32_t left;
    int32_t right;
    uint32_t size;
    bool operator<(const Candidate& other) const {  // The queue's top is its largest.
      return merge.cost != other.merge.cost ? merge.cost > other.merge.cost : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto consider = [symbols, &queue, &find](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const Symbol& l = (*symbols)[left];
    const Symbol& r = (*symbols)[right];
    const std::optional<Merge> merge = find(l, r);
    if (merge.has_value()) queue.push({*merge, left, right, l.size + r.size});
  };
  for (const Symbol& symbol : *symbols) {
    consider(symbol.previous, static_cast<int32_t>(&symbol - symbols->data()));
  }
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = (*symbols)[best.left];
    Symbol& right = (*symbols)[best.right];
    // A candidate is stale when either side has been merged since: with both starts alive, the
    // joint size tells.
    if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
    left.id = best.merge.id;
    left.size = best.size;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) (*symbols)[left.next].previous = best.left;
    consider(left.previous, best.left);
    consider(best.left, left.next);
  }
}

}  // namespace tandem
