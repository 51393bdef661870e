#include "engine/weights/rank_slice.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

// Output rows that kernels compute together: splits at multiples of it waste nothing.
constexpr int64_t kGrain = 16;

struct Range {
  int64_t begin = 0;
  int64_t end = 0;
};

// Part `index` of `size` cut into `num_parts` as even as multiples of `grain` allow.
Range Part(int64_t size, int64_t grain, int num_parts, int index) {
  const int64_t num_grains = (size + grain - 1) / grain;
  const auto edge = [&](int part) { return std::min(size, num_grains * part / num_parts * grain); };
  return {edge(index), edge(index + 1)};
}

std::vector<int> Divisors(int n) {
  std::vector<int> divisors;
  for (int d = 1; d <= n; ++d) {
    if (n % d == 0) divisors.push_back(d);
  }
  return divisors;
}

// Columns of `down` that must stay together.
int64_t IntermediateGrain(const Model& model, int tp) {
  int64_t block = 1;
  for (const LayerWeights& layer : model.weights.layers) {
    block = std::max<int64_t>(block, GetDTypeInfo(layer.down.dtype).block_size);
  }
  const int64_t grain = std::max(block, kGrain);
  return model.config.intermediate_size >= grain * tp ? grain : block;
}

// What a split by `tp` would cut in two; empty: nothing.
std::string CutBlock(const Model& model, int tp) {
  const ModelConfig& config = model.config;
  const int64_t columns = int64_t{config.num_heads / tp} * config.head_dim;
  for (const LayerWeights& layer : model.weights.layers) {
    const DTypeInfo& info = GetDTypeInfo(layer.o.dtype);
    if (columns % info.block_size != 0) {
      return absl::StrCat("the ", info.block_size, "-column blocks of the attention output's ",
                          info.name, " into ", columns, " columns a rank");
    }
  }
  const int64_t grain = IntermediateGrain(model, tp);
  if (config.intermediate_size >= grain * tp) return "";
  return absl::StrCat("an MLP of ", config.intermediate_size, " columns in blocks of ", grain);
}

// K/V heads of query heads [begin, begin + count), one for as many query heads as fit evenly.
std::vector<int> KvHeads(const ModelConfig& config, int begin, int count) {
  const int group = config.num_heads / config.num_kv_heads;  // query heads of a K/V head
  const int step = std::gcd(group, count);
  std::vector<int> heads;
  for (int head = begin; head < begin + count; head += step) heads.push_back(head / group);
  return heads;
}

MatrixView Rows(const MatrixView& w, int64_t begin, int64_t count) {
  CHECK(w.packed == nullptr) << "a packed matrix cannot be sliced";
  MatrixView rows = w;
  rows.data = w.Row(begin);
  rows.rows = count;
  return rows;
}

AlignedBuffer<uint8_t>& NewBuffer(int64_t bytes, Model& model) {
  auto buffer = std::make_shared<AlignedBuffer<uint8_t>>(bytes);
  AlignedBuffer<uint8_t>& reference = *buffer;
  model.storage.push_back(std::move(buffer));
  return reference;
}

MatrixView Columns(const MatrixView& w, int64_t begin, int64_t count, Model& model) {
  CHECK(w.packed == nullptr) << "a packed matrix cannot be sliced";
  if (count == w.cols) return w;
  MatrixView columns = w;
  columns.cols = count;
  uint8_t* out = NewBuffer(columns.Bytes(), model).data();
  columns.data = out;
  const int64_t offset = DTypeBytes(w.dtype, begin);
  for (int64_t row = 0; row < w.rows; ++row, out += columns.RowBytes()) {
    std::memcpy(out, w.Row(row) + offset, columns.RowBytes());
  }
  return columns;
}

// Rows of the given heads, head_dim each.
MatrixView HeadRows(const MatrixView& w, const std::vector<int>& heads, int head_dim,
                    Model& model) {
  const auto count = static_cast<int64_t>(heads.size());
  if (heads.back() - heads.front() + 1 == count) {
    return Rows(w, int64_t{heads.front()} * head_dim, count * head_dim);
  }
  MatrixView gathered = Rows(w, 0, count * head_dim);
  const int64_t head_bytes = w.RowBytes() * head_dim;
  uint8_t* out = NewBuffer(gathered.Bytes(), model).data();
  gathered.data = out;
  for (const int head : heads) {
    std::memcpy(out, w.Row(int64_t{head} * head_dim), head_bytes);
    out += head_bytes;
  }
  return gathered;
}

// The same of a bias, which may be absent.
std::vector<float> HeadValues(const std::vector<float>& values, const std::vector<int>& heads,
                              int head_dim) {
  std::vector<float> slice;
  if (values.empty()) return slice;
  for (const int head : heads) {
    const auto begin = values.begin() + int64_t{head} * head_dim;
    slice.insert(slice.end(), begin, begin + head_dim);
  }
  return slice;
}

void SliceLayer(const RankSlice& slice, LayerWeights& layer, Model& model) {
  const int head_dim = model.config.head_dim;
  std::vector<int> heads(slice.num_heads);
  std::iota(heads.begin(), heads.end(), slice.head_begin);
  layer.q = HeadRows(layer.q, heads, head_dim, model);
  layer.k = HeadRows(layer.k, slice.kv_heads, head_dim, model);
  layer.v = HeadRows(layer.v, slice.kv_heads, head_dim, model);
  layer.q_bias = HeadValues(layer.q_bias, heads, head_dim);
  layer.k_bias = HeadValues(layer.k_bias, slice.kv_heads, head_dim);
  layer.v_bias = HeadValues(layer.v_bias, slice.kv_heads, head_dim);
  layer.o = Columns(layer.o, int64_t{slice.head_begin} * head_dim,
                    int64_t{slice.num_heads} * head_dim, model);
  const int64_t width = slice.intermediate_end - slice.intermediate_begin;
  layer.gate = Rows(layer.gate, slice.intermediate_begin, width);
  layer.up = Rows(layer.up, slice.intermediate_begin, width);
  layer.down = Columns(layer.down, slice.intermediate_begin, width, model);
}

}  // namespace

absl::Status CheckParallelShape(const ModelConfig& config, const ParallelShape& shape) {
  const auto check = [](absl::string_view option, int size, int whole, absl::string_view of) {
    if (size >= 1 && whole % size == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", size, " does not divide the model's ", whole, " ", of,
                     "; these do: ", absl::StrJoin(Divisors(whole), ", ")));
  };
  RETURN_IF_ERROR(check("tensor-parallel-size", shape.tp, config.num_heads, "attention heads"));
  RETURN_IF_ERROR(check("pipeline-parallel-size", shape.pp, config.num_layers, "layers"));
  if (shape.tp > 1 && config.qk_norm == QkNorm::kFullWidth) {
    return absl::InvalidArgumentError(absl::StrCat("tensor-parallel-size ", shape.tp, ": ",
                                                   config.architecture,
                                                   " norms all heads at once, so only 1 works"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RankSlice> MakeRankSlice(const Model& model, const ParallelShape& shape, int rank) {
  const ModelConfig& config = model.config;
  RETURN_IF_ERROR(CheckParallelShape(config, shape));
  if (const std::string cut = shape.tp > 1 ? CutBlock(model, shape.tp) : ""; !cut.empty()) {
    std::vector<int> whole = Divisors(config.num_heads);
    std::erase_if(whole, [&](int tp) { return tp > 1 && !CutBlock(model, tp).empty(); });
    return absl::InvalidArgumentError(
        absl::StrCat("tensor-parallel-size ", shape.tp, " would cut ", cut,
                     "; these sizes work: ", absl::StrJoin(whole, ", ")));
  }
  const int stage = rank / shape.tp, member = rank % shape.tp;
  RankSlice slice;
  const int num_layers = config.num_layers / shape.pp;
  slice.layer_begin = stage * num_layers;
  slice.layer_end = slice.layer_begin + num_layers;
  slice.num_heads = config.num_heads / shape.tp;
  slice.head_begin = member * slice.num_heads;
  slice.kv_heads = KvHeads(config, slice.head_begin, slice.num_heads);
  const Range intermediate =
      Part(config.intermediate_size, IntermediateGrain(model, shape.tp), shape.tp, member);
  slice.intermediate_begin = intermediate.begin;
  slice.intermediate_end = intermediate.end;
  if (stage == shape.pp - 1) {
    const int64_t grain = config.vocab_size >= kGrain * shape.tp ? kGrain : 1;
    const Range vocab = Part(config.vocab_size, grain, shape.tp, member);
    slice.vocab_begin = vocab.begin;
    slice.vocab_end = vocab.end;
  }
  return slice;
}

void SliceModel(const RankSlice& slice, Model& model) {
  ModelWeights& weights = model.weights;
  for (int i = 0; i < model.config.num_layers; ++i) {
    if (i >= slice.layer_begin && i < slice.layer_end) {
      SliceLayer(slice, weights.layers[i], model);
    } else {
      weights.layers[i] = LayerWeights();
    }
  }
  const int64_t num_logits = slice.vocab_end - slice.vocab_begin;
  weights.head = num_logits > 0 ? Rows(weights.head, slice.vocab_begin, num_logits) : MatrixView();
  model.config.num_heads = slice.num_heads;
  model.config.num_kv_heads = static_cast<int>(slice.kv_heads.size());
  model.config.intermediate_size =
      static_cast<int>(slice.intermediate_end - slice.intermediate_begin);
}

}  // namespace tandem
