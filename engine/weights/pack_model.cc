#include "engine/weights/pack_model.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"
#include "engine/weights/fnv1a.h"
#include "engine/weights/packed_cache.h"

namespace tandem {
namespace {

constexpr int64_t kAlignment = 64;

// Raised when what Ops::Pack writes changes.
constexpr int kPackedLayoutVersion = 1;

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

// A matrix that is to be packed, and where to.
struct Placed {
  MatrixView* matrix;
  int64_t offset;
  int64_t bytes;
};

std::vector<Placed> Place(const Ops& ops, ModelWeights& weights, int64_t* all_bytes) {
  std::vector<Placed> places;
  *all_bytes = 0;
  for (MatrixView* matrix : Multiplied(weights)) {
    const int64_t bytes = ops.PackedBytes(*matrix);
    if (bytes == 0) continue;
    places.push_back({matrix, *all_bytes, bytes});
    *all_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  return places;
}

// Of what the packed bytes follow from. The files stand for their contents by name, size and time;
// the samples tell parts of one file apart.
uint64_t CacheKey(const Ops& ops, const Model& model, const std::vector<Placed>& places,
                  const std::string& part) {
  constexpr int64_t kSample = 64;
  Fnv1a hash;
  hash.AddAll(kPackedLayoutVersion, model.content_hash);
  hash.AddString(IsaName(ops.isa()));
  hash.AddString(part);
  for (const auto& file : model.files) hash.Add(file->fingerprint());
  for (const auto& [matrix, offset, bytes] : places) {
    hash.AddAll(matrix->dtype, matrix->rows, matrix->cols, offset, bytes);
    hash.AddBytes({matrix->Row(0), static_cast<size_t>(std::min(kSample, matrix->Bytes()))});
  }
  return hash.hash();
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

absl::Status PackModel(Ops& ops, Model& model, const PackOptions& options) {
  int64_t all_bytes;
  const std::vector<Placed> places = Place(ops, model.weights, &all_bytes);
  if (places.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<uint8_t> memory, MapMemory(all_bytes));
  model.storage.push_back(memory);

  PackedWeights packed = {.bytes = {memory.get(), static_cast<size_t>(all_bytes)},
                          .units = std::vector<float>(places.size())};
  const PackedCache cache(options.cache_folder);
  const uint64_t key = CacheKey(ops, model, places, options.part);
  if (cache.Load(key, packed)) {
    for (size_t i = 0; i < places.size(); ++i) {
      places[i].matrix->packed = memory.get() + places[i].offset;
      places[i].matrix->packed_unit = packed.units[i];
    }
    return absl::OkStatus();
  }
  for (size_t i = 0; i < places.size(); ++i) {
    MatrixView& matrix = *places[i].matrix;
    if (options.progress) options.progress(places[i].offset, all_bytes);
    matrix = ops.Pack(matrix, memory.get() + places[i].offset);
    packed.units[i] = matrix.packed_unit;
  }
  if (options.progress) options.progress(all_bytes, all_bytes);
  // What was read to be packed is seldom read again: rows of the embedding.
  for (const auto& file : model.files) file->ReleasePages();
  if (const absl::Status status = cache.Store(key, packed); !status.ok()) {
    LOG(WARNING) << "packed weights are not kept for the next start: " << status.message();
  }
  return absl::OkStatus();
}

}  // namespace tandem
