#include "engine/weights/pack_model.h"

#include <sys/mman.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

constexpr int64_t kAlignment = 64;

std::vector<MatrixView*> Multiplied(ModelWeights& weights) {
  std::vector<MatrixView*> matrices;
  for (LayerWeights& layer : weights.layers) {
    for (MatrixView* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      matrices.push_back(matrix);
    }
  }
  matrices.push_back(&weights.head);
  return matrices;
}

int64_t AlignedBytes(const Ops& ops, const MatrixView& matrix) {
  return (ops.PackedBytes(matrix) + kAlignment - 1) / kAlignment * kAlignment;
}

// Zeroed pages, large ones where the system has them: a step reads all of it once.
absl::StatusOr<std::shared_ptr<uint8_t>> MapMemory(int64_t bytes) {
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes of packed weights"));
  }
  madvise(data, bytes, MADV_HUGEPAGE);
  return std::shared_ptr<uint8_t>(static_cast<uint8_t*>(data),
                                  [bytes](uint8_t* p) { munmap(p, bytes); });
}

}  // namespace

absl::Status PackModel(Ops& ops, Model& model) {
  const std::vector<MatrixView*> matrices = Multiplied(model.weights);
  int64_t bytes = 0;
  for (const MatrixView* matrix : matrices) bytes += AlignedBytes(ops, *matrix);
  if (bytes == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<uint8_t> memory, MapMemory(bytes));
  uint8_t* next = memory.get();
  for (MatrixView* matrix : matrices) {
    const int64_t size = AlignedBytes(ops, *matrix);
    if (size == 0) continue;
    *matrix = ops.Pack(*matrix, next);
    next += size;
  }
  model.storage.push_back(memory);
  return absl::OkStatus();
}

}  // namespace tandem
