#include "engine/model/transformer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

const float* DataOrNull(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Create(const Model& model,
                                                                 const TransformerLimits& limits,
                                                                 Ops& ops, KvCache& kv,
                                                                 const RankLinks& links) {
  ASSIGN_OR_RETURN(RopeTables rope,
                   MakeRopeTables(model.config.rope, model.config.head_dim, limits.max_position));
  std::unique_ptr<Transformer> transformer(
      new Transformer(model, std::move(rope), limits.max_rows, ops, kv));
  transformer->links_ = links;
  return transformer;
}

Transformer::Transformer(const Model& model, RopeTables rope, int max_rows, Ops& ops, KvCache& kv)
    : config_(model.config),
      weights_(model.weights),
      rope_(std::move(rope)),
      ops_(ops),
      kv_(kv),
      activations_(model.config, max_rows) {}

absl::Status Transformer::Forward(const StepInput& input, LayerDone layer_done,
                                  TakeLogits take_logits) {
  RETURN_IF_ERROR(Begin(input));
  const int layer_end = links_.layer_end < 0 ? config_.num_layers : links_.layer_end;
  for (int layer = links_.layer_begin; layer < layer_end; ++layer) {
    RETURN_IF_ERROR(AttentionBlock(layer, input, layer_done));
    RETURN_IF_ERROR(MlpBlock(layer, input.NumRows()));
  }
  if (links_.downstream != nullptr) return HandOn(input.NumRows());
  Logits(input, take_logits);
  return absl::OkStatus();
}

absl::Status Transformer::Begin(const StepInput& input) {
  float* hidden = activations_.hidden.data();  // [rows, hidden_size]
  if (links_.upstream == nullptr) {
    ops_.Embed(weights_.embedding, input.token_ids, config_.embedding_scale, hidden);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const absl::Span<const uint8_t> received, links_.upstream->Receive());
  CHECK(received.size() == input.NumRows() * config_.hidden_size * sizeof(float));
  std::memcpy(hidden, received.data(), received.size());
  links_.upstream->Release();
  return absl::OkStatus();
}

absl::Status Transformer::HandOn(int64_t rows) {
  const float* hidden = activations_.hidden.data();  // [rows, hidden_size]
  return links_.downstream->Send(
      {reinterpret_cast<const uint8_t*>(hidden), rows * config_.hidden_size * sizeof(float)});
}

absl::Status Transformer::SumOverRanks(int64_t rows, float* x) {
  if (links_.stage == nullptr) return absl::OkStatus();
  return links_.stage->AllReduceSum({x, static_cast<size_t>(rows * config_.hidden_size)});
}

absl::Status Transformer::AttentionBlock(int layer, const StepInput& input, LayerDone layer_done) {
  const LayerWeights& weights = weights_.layers[layer];
  const LayerKv kv = kv_.Layer(layer - links_.layer_begin);
  const bool slides = config_.LayerSlides(layer);
  const RopeTable& rope = rope_.ForLayer(slides);
  const int64_t rows = input.NumRows();
  const int head_dim = config_.head_dim;
  float* hidden = activations_.hidden.data();        // [rows, hidden_size]
  float* block = activations_.block.data();          // [rows, hidden_size]
  float* q = activations_.q.data();                  // [rows, num_heads, head_dim]
  float* k = activations_.k.data();                  // [rows, num_kv_heads, head_dim]
  float* v = activations_.v.data();                  // [rows, num_kv_heads, head_dim]
  float* attention = activations_.attention.data();  // [rows, num_heads, head_dim]

  ops_.RmsNorm(hidden, weights.attention_norm.data(), config_.norm_epsilon, rows,
               config_.hidden_size, block);
  ops_.MatMul(block, rows,
              {{weights.q, DataOrNull(weights.q_bias), q},
               {weights.k, DataOrNull(weights.k_bias), k},
               {weights.v, DataOrNull(weights.v_bias), v}},
              Precision::kHigh);
  NormalizeHeads(weights.q_norm, rows, config_.num_heads, q);
  NormalizeHeads(weights.k_norm, rows, config_.num_kv_heads, k);
  ops_.Rope(rope, input.positions, config_.num_heads, head_dim, q);
  ops_.Rope(rope, input.positions, config_.num_kv_heads, head_dim, k);

  ops_.StoreKv(k, v, input.slots, kv);
  // The KV stream may send this layer while the rest is still being computed.
  if (links_.stage == nullptr) layer_done(layer);

  AttentionArgs args;
  args.q = q;
  args.out = attention;
  args.num_heads = config_.num_heads;
  args.scale = config_.AttentionScale();
  args.window = slides ? config_.sliding_window : 0;
  args.kv = kv;
  ops_.Attention(args, input.sequences);

  ops_.MatMul(attention, rows, {{weights.o, nullptr, block}}, Precision::kHigh);
  RETURN_IF_ERROR(SumOverRanks(rows, block));
  if (links_.stage != nullptr) layer_done(layer);
  if (config_.post_norms) {
    ops_.RmsNorm(block, weights.post_attention_norm.data(), config_.norm_epsilon, rows,
                 config_.hidden_size, block);
  }
  ops_.Add(block, rows * config_.hidden_size, hidden);
  return absl::OkStatus();
}

absl::Status Transformer::MlpBlock(int layer, int64_t rows) {
  const LayerWeights& weights = weights_.layers[layer];
  float* hidden = activations_.hidden.data();  // [rows, hidden_size]
  float* block = activations_.block.data();    // [rows, hidden_size]
  float* gate = activations_.gate.data();      // [rows, intermediate_size]
  float* up = activations_.up.data();          // [rows, intermediate_size]

  ops_.RmsNorm(hidden, weights.mlp_norm.data(), config_.norm_epsilon, rows, config_.hidden_size,
               block);
  ops_.MatMul(block, rows, {{weights.gate, nullptr, gate}, {weights.up, nullptr, up}},
              Precision::kLow);
  ops_.GatedActivation(config_.activation, gate, up, rows * config_.intermediate_size, gate);
  ops_.MatMul(gate, rows, {{weights.down, nullptr, block}}, Precision::kLow);
  RETURN_IF_ERROR(SumOverRanks(rows, block));
  if (config_.post_norms) {
    ops_.RmsNorm(block, weights.post_mlp_norm.data(), config_.norm_epsilon, rows,
                 config_.hidden_size, block);
  }
  ops_.Add(block, rows * config_.hidden_size, hidden);
  return absl::OkStatus();
}

// Norms of q or k before they are rotated: over each head, over all heads of a row at once, or not
// at all.  x: [rows, num_heads, head_dim]
void Transformer::NormalizeHeads(const std::vector<float>& weight, int64_t rows, int num_heads,
                                 float* x) {
  const int64_t head_dim = config_.head_dim;
  switch (config_.qk_norm) {
    case QkNorm::kNone:
      return;
    case QkNorm::kPerHead:
      ops_.RmsNorm(x, weight.data(), config_.norm_epsilon, rows * num_heads, head_dim, x);
      return;
    case QkNorm::kFullWidth:
      ops_.RmsNorm(x, weight.data(), config_.norm_epsilon, rows, num_heads * head_dim, x);
      return;
  }
}

// The final norm and the output head, over the wanted rows only and a few of them at a time.
void Transformer::Logits(const StepInput& input, TakeLogits take_logits) {
  const int64_t hidden_size = config_.hidden_size;
  const int64_t vocab_size = weights_.head.rows;     // of this rank
  const float* hidden = activations_.hidden.data();  // [num_rows, hidden_size]
  float* wanted = activations_.block.data();         // [rows, hidden_size]
  float* logits = activations_.logits.data();        // [rows, vocab_size]

  const int num_wanted = static_cast<int>(input.logit_rows.size());
  for (int begin = 0; begin < num_wanted; begin += activations_.max_logit_rows) {
    const int rows = std::min(activations_.max_logit_rows, num_wanted - begin);
    for (int i = 0; i < rows; ++i) {
      std::copy_n(hidden + input.logit_rows[begin + i] * hidden_size, hidden_size,
                  wanted + i * hidden_size);
    }
    ops_.RmsNorm(wanted, weights_.final_norm.data(), config_.norm_epsilon, rows, hidden_size,
                 wanted);
    ops_.MatMul(wanted, rows, {{weights_.head, nullptr, logits}}, Precision::kHigh);
    if (config_.final_logit_softcap > 0) {
      ops_.Softcap(config_.final_logit_softcap, rows * vocab_size, logits);
    }
    for (int i = 0; i < rows; ++i) {
      take_logits(begin + i, absl::MakeConstSpan(logits + i * vocab_size, vocab_size));
    }
  }
}

}  // namespace tandem
