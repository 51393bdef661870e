#include "engine/runner/step_message.h"

#include <cstring>

#include "engine/core/log.h"

namespace tandem {
namespace {

// Each array is a count and its elements, from a multiple of this on.
constexpr int64_t kAlignment = 8;

struct Sequence {
  int64_t row_begin = 0;
  int32_t num_rows = 0;
  int32_t position_begin = 0;
};

int64_t ArrayBytes(int64_t count, int64_t element_bytes) {
  const int64_t bytes = (count * element_bytes + kAlignment - 1) / kAlignment * kAlignment;
  return static_cast<int64_t>(sizeof(int64_t)) + bytes;
}

template <typename T>
void Put(absl::Span<const T> array, std::vector<uint8_t>& message) {
  const auto count = static_cast<int64_t>(array.size());
  const size_t begin = message.size();
  message.resize(begin + ArrayBytes(count, sizeof(T)));
  std::memcpy(message.data() + begin, &count, sizeof(count));
  std::memcpy(message.data() + begin + sizeof(count), array.data(), count * sizeof(T));
}

template <typename T>
absl::Span<const T> Take(absl::Span<const uint8_t>& message) {
  int64_t count = 0;
  CHECK(message.size() >= sizeof(count)) << "a step message ends early";
  std::memcpy(&count, message.data(), sizeof(count));
  const auto* const data = reinterpret_cast<const T*>(message.data() + sizeof(count));
  message.remove_prefix(ArrayBytes(count, sizeof(T)));
  return absl::MakeConstSpan(data, count);
}

template <typename T>
void TakeInto(absl::Span<const uint8_t>& message, std::vector<T>& out) {
  const absl::Span<const T> array = Take<T>(message);
  out.assign(array.begin(), array.end());
}

}  // namespace

int64_t MaxStepMessageBytes(int64_t max_rows, int64_t max_blocks) {
  return ArrayBytes(max_rows, sizeof(TokenId)) + 2 * ArrayBytes(max_rows, sizeof(int)) +
         ArrayBytes(max_rows, sizeof(int64_t)) + ArrayBytes(max_rows, sizeof(Sequence)) +
         max_rows * ArrayBytes(max_blocks, sizeof(BlockId));
}

void EncodeStep(const StepInput& input, std::vector<uint8_t>& message) {
  message.clear();
  Put<TokenId>(input.token_ids, message);
  Put<int>(input.positions, message);
  Put<int64_t>(input.slots, message);
  Put<int>(input.logit_rows, message);
  std::vector<Sequence> sequences;
  for (const AttentionRow& row : input.sequences) {
    sequences.push_back({row.row_begin, row.num_rows, row.position_begin});
  }
  Put<Sequence>(sequences, message);
  for (const AttentionRow& row : input.sequences) Put<BlockId>(row.block_table, message);
}

void DecodeStep(absl::Span<const uint8_t> message, StepInput& input) {
  TakeInto(message, input.token_ids);
  TakeInto(message, input.positions);
  TakeInto(message, input.slots);
  TakeInto(message, input.logit_rows);
  const absl::Span<const Sequence> sequences = Take<Sequence>(message);
  input.sequences.clear();
  for (const Sequence& sequence : sequences) {
    AttentionRow& row = input.sequences.emplace_back();
    row.row_begin = sequence.row_begin;
    row.num_rows = sequence.num_rows;
    row.position_begin = sequence.position_begin;
    row.block_table = Take<BlockId>(message);
  }
}

}  // namespace tandem
