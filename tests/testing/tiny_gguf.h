// A complete model of a few kilobytes as a GGUF file: 2 layers, width 32, 4 heads of 8, 2 KV heads,
// MLP 64, 48 tokens. Every matrix is F32 and every element of a tensor equals its index in the file
// divided by 64.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/gguf_writer.h"

namespace tandem {

struct TinyGgufOptions {
  std::string architecture = "llama";
  bool tied = true;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool post_norms = false;
};

// The keys every supported architecture has.
inline void AddTinyMetadata(const TinyGgufOptions& options, GgufWriter* writer) {
  const auto key = [&](absl::string_view name) {
    return absl::StrCat(options.architecture, ".", name);
  };
  writer->AddString("general.architecture", options.architecture);
  writer->AddString("general.name", "Tiny");
  writer->AddUint32(key("block_count"), 2);
  writer->AddUint32(key("context_length"), 128);
  writer->AddUint32(key("embedding_length"), 32);
  writer->AddUint32(key("feed_forward_length"), 64);
  writer->AddUint32(key("attention.head_count"), 4);
  writer->AddUint32(key("attention.head_count_kv"), 2);
  writer->AddFloat(key("attention.layer_norm_rms_epsilon"), 1e-5f);
}

inline void AddTinyTensors(const TinyGgufOptions& options, GgufWriter* writer) {
  const auto add = [&](absl::string_view name, std::vector<uint64_t> dims) {
    uint64_t size = 1;
    for (uint64_t dim : dims) size *= dim;
    writer->AddFloats(name, dims,
                      std::vector<float>(size, static_cast<float>(writer->tensors.size()) / 64));
  };
  add("token_embd.weight", {32, 48});
  for (int layer = 0; layer < 2; ++layer) {
    const auto add_layer = [&](absl::string_view name, std::vector<uint64_t> dims) {
      add(absl::StrCat("blk.", layer, ".", name), dims);
    };
    add_layer("attn_norm.weight", {32});
    add_layer("attn_q.weight", {32, 32});
    add_layer("attn_k.weight", {32, 16});
    add_layer("attn_v.weight", {32, 16});
    add_layer("attn_output.weight", {32, 32});
    if (options.qkv_bias) {
      add_layer("attn_q.bias", {32});
      add_layer("attn_k.bias", {16});
      add_layer("attn_v.bias", {16});
    }
    if (options.qk_norm) {
      add_layer("attn_q_norm.weight", {8});
      add_layer("attn_k_norm.weight", {8});
    }
    if (options.post_norms) {
      add_layer("post_attention_norm.weight", {32});
      add_layer("post_ffw_norm.weight", {32});
    }
    add_layer("ffn_norm.weight", {32});
    add_layer("ffn_gate.weight", {32, 64});
    add_layer("ffn_up.weight", {32, 64});
    add_layer("ffn_down.weight", {64, 32});
  }
  add("output_norm.weight", {32});
  if (!options.tied) add("output.weight", {32, 48});
}

// Both; a test adds what it is about, then calls Build().
inline GgufWriter TinyGguf(const TinyGgufOptions& options = {}) {
  GgufWriter writer;
  AddTinyMetadata(options, &writer);
  AddTinyTensors(options, &writer);
  return writer;
}

}  // namespace tandem
