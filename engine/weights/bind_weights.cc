#include "engine/weights/bind_weights.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/substitute.h"
#include "engine/core/status_macros.h"
#include "engine/tensor/float16.h"
#include "engine/weights/file_errors.h"

namespace tandem {
namespace {

// Element `i` of a tensor of one of the three plain types; the tensor need not be aligned.
float Element(const StoredTensor& tensor, int64_t i) {
  if (tensor.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, tensor.data + i * sizeof(value), sizeof(value));
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, tensor.data + i * sizeof(bits), sizeof(bits));
  return tensor.dtype == DType::kF16 ? FloatFromHalf(bits) : FloatFromBFloat16(bits);
}

// Elements must lie at multiples of this; kernels read quantised blocks bytewise.
size_t ElementAlignment(DType dtype) {
  const DTypeInfo& info = GetDTypeInfo(dtype);
  return info.block_size == 1 ? info.block_bytes : 1;
}

class WeightBinder {
 public:
  WeightBinder(const WeightSource& source, Model* model) : source_(source), model_(*model) {}

  absl::Status Bind();

 private:
  absl::Status BindLayer(int index, LayerWeights* layer);
  absl::Status BindBiases(int index, LayerWeights* layer);
  absl::Status BindMlp(int index, LayerWeights* layer);
  absl::Status CheckNothingLeft() const;

  // The tensor of this name and shape, marked as used.
  absl::StatusOr<const StoredTensor*> Take(const std::string& name,
                                           const std::vector<int64_t>& shape);
  absl::Status Matrix(const std::string& name, int64_t rows, int64_t cols, MatrixView* view);
  absl::Status Vector(const std::string& name, int64_t size, float offset,
                      std::vector<float>* values);
  absl::Status Norm(const std::string& name, int64_t size, std::vector<float>* values) {
    return Vector(name, size, source_.norm_offset, values);
  }
  std::string Name(absl::string_view pattern, int layer = 0) const {
    return absl::StrCat(source_.prefix.decoder, absl::Substitute(pattern, layer));
  }

  const WeightSource& source_;
  Model& model_;
  absl::flat_hash_set<std::string> used_;
};

absl::Status WeightBinder::Bind() {
  const ModelConfig& config = model_.config;
  const TensorNames& names = *source_.names;
  ModelWeights& weights = model_.weights;
  RETURN_IF_ERROR(
      Matrix(Name(names.embedding), config.vocab_size, config.hidden_size, &weights.embedding));
  weights.layers.resize(config.num_layers);
  for (int i = 0; i < config.num_layers; ++i) {
    RETURN_IF_ERROR(BindLayer(i, &weights.layers[i]));
  }
  RETURN_IF_ERROR(Norm(Name(names.final_norm), config.hidden_size, &weights.final_norm));
  const std::string head = absl::StrCat(source_.prefix.head, names.head);
  if (config.tied_embeddings) {
    weights.head = weights.embedding;
    used_.insert(head);  // some checkpoints store the tied head as well
  } else {
    RETURN_IF_ERROR(Matrix(head, config.vocab_size, config.hidden_size, &weights.head));
  }
  return CheckNothingLeft();
}

absl::Status WeightBinder::BindLayer(int index, LayerWeights* layer) {
  const ModelConfig& config = model_.config;
  const TensorNames& names = *source_.names;
  const int64_t hidden = config.hidden_size;
  const int64_t q_width = int64_t{config.num_heads} * config.head_dim;
  const int64_t kv_width = int64_t{config.num_kv_heads} * config.head_dim;
  RETURN_IF_ERROR(Norm(Name(names.attention_norm, index), hidden, &layer->attention_norm));
  RETURN_IF_ERROR(Matrix(Name(names.q, index), q_width, hidden, &layer->q));
  RETURN_IF_ERROR(Matrix(Name(names.k, index), kv_width, hidden, &layer->k));
  RETURN_IF_ERROR(Matrix(Name(names.v, index), kv_width, hidden, &layer->v));
  RETURN_IF_ERROR(Matrix(Name(names.o, index), hidden, q_width, &layer->o));
  if (config.qkv_bias) RETURN_IF_ERROR(BindBiases(index, layer));
  if (config.qk_norm == QkNorm::kPerHead) {
    RETURN_IF_ERROR(Norm(Name(names.q_norm, index), config.head_dim, &layer->q_norm));
    RETURN_IF_ERROR(Norm(Name(names.k_norm, index), config.head_dim, &layer->k_norm));
  }
  return BindMlp(index, layer);
}

absl::Status WeightBinder::BindBiases(int index, LayerWeights* layer) {
  const TensorNames& names = *source_.names;
  RETURN_IF_ERROR(Vector(Name(names.q_bias, index), layer->q.rows, 0, &layer->q_bias));
  RETURN_IF_ERROR(Vector(Name(names.k_bias, index), layer->k.rows, 0, &layer->k_bias));
  return Vector(Name(names.v_bias, index), layer->v.rows, 0, &layer->v_bias);
}

absl::Status WeightBinder::BindMlp(int index, LayerWeights* layer) {
  const ModelConfig& config = model_.config;
  const TensorNames& names = *source_.names;
  const int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
  RETURN_IF_ERROR(Norm(Name(names.mlp_norm, index), hidden, &layer->mlp_norm));
  RETURN_IF_ERROR(Matrix(Name(names.gate, index), intermediate, hidden, &layer->gate));
  RETURN_IF_ERROR(Matrix(Name(names.up, index), intermediate, hidden, &layer->up));
  RETURN_IF_ERROR(Matrix(Name(names.down, index), hidden, intermediate, &layer->down));
  if (!config.post_norms) return absl::OkStatus();
  RETURN_IF_ERROR(
      Norm(Name(names.post_attention_norm, index), hidden, &layer->post_attention_norm));
  return Norm(Name(names.post_mlp_norm, index), hidden, &layer->post_mlp_norm);
}

absl::StatusOr<const StoredTensor*> WeightBinder::Take(const std::string& name,
                                                       const std::vector<int64_t>& shape) {
  const auto found = source_.tensors->find(name);
  if (found == source_.tensors->end()) {
    return Malformed(source_.file, "tensor ", Quoted(name), " is missing");
  }
  const StoredTensor& tensor = found->second;
  if (tensor.shape != shape) {
    return Malformed(tensor.file, "tensor ", Quoted(name), ": expected shape ", ShapeString(shape),
                     ", found ", ShapeString(tensor.shape));
  }
  if (!tensor.dtype) {
    return Unsupported(tensor.file, "tensor ", Quoted(name), ": type ", tensor.type_name,
                       " is not supported (supported: F32, F16, BF16)");
  }
  used_.insert(name);
  return &tensor;
}

absl::Status WeightBinder::Matrix(const std::string& name, int64_t rows, int64_t cols,
                                  MatrixView* view) {
  ASSIGN_OR_RETURN(const StoredTensor* tensor, Take(name, {rows, cols}));
  const void* data = tensor->data;
  if (reinterpret_cast<uintptr_t>(data) % ElementAlignment(*tensor->dtype) != 0) {
    auto copy = std::make_shared<AlignedBuffer<uint8_t>>(tensor->bytes);
    std::memcpy(copy->data(), data, tensor->bytes);
    data = copy->data();
    model_.storage.push_back(std::move(copy));
  }
  *view = MatrixView{data, *tensor->dtype, rows, cols};
  return absl::OkStatus();
}

absl::Status WeightBinder::Vector(const std::string& name, int64_t size, float offset,
                                  std::vector<float>* values) {
  ASSIGN_OR_RETURN(const StoredTensor* tensor, Take(name, {size}));
  if (GetDTypeInfo(*tensor->dtype).block_size != 1) {
    return Unsupported(tensor->file, "tensor ", Quoted(name), ": type ", tensor->type_name,
                       " is not supported for a vector (supported: F32, F16, BF16)");
  }
  values->resize(size);
  for (int64_t i = 0; i < size; ++i) (*values)[i] = Element(*tensor, i) + offset;
  return absl::OkStatus();
}

absl::Status WeightBinder::CheckNothingLeft() const {
  for (const auto& [name, tensor] : *source_.tensors) {
    if (used_.contains(name) || IsIgnoredTensor(name)) continue;
    return Unsupported(tensor.file, "tensor ", Quoted(name), " has no place in architecture ",
                       model_.config.architecture, " with ", model_.config.num_layers, " layers");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BindWeights(const WeightSource& source, Model* model) {
  return WeightBinder(source, model).Bind();
}

}  // namespace tandem
