// Models out of GGUF files: configurations of the architectures, and files that are sound GGUF but
// no sound model.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "engine/weights/model_weights.h"
#include "tests/engine/weights/expect_error.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_gguf.h"

namespace tandem {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class GgufModelTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Model>> Load(const GgufWriter& writer) {
    path_ = folder_.Write("tiny.gguf", writer.Build());
    return LoadModel(path_);
  }
  ModelConfig Config(const GgufWriter& writer) {
    const auto model = Load(writer);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? (*model)->config : ModelConfig{};
  }
  // A tiny Llama with one key more.
  void ExpectBrokenBy(const std::string& key, uint32_t value,
                      std::initializer_list<std::string> parts) {
    GgufWriter writer = TinyGguf();
    writer.AddUint32(key, value);
    ExpectMalformed(Load(writer).status(), path_, parts);
  }
  // A tiny Llama whose metadata has `value` for `key` of the usual ones.
  void ExpectBrokenWith(const std::string& key, uint32_t value,
                        std::initializer_list<std::string> parts) {
    std::string file = TinyGguf().Build();
    const size_t at = file.find(key);
    ASSERT_NE(at, std::string::npos);
    file.replace(at + key.size() + 4, 4, GgufWriter::Bytes(value));
    path_ = folder_.Write("tiny.gguf", file);
    ExpectMalformed(LoadModel(path_).status(), path_, parts);
    ExpectMalformed(LoadModelConfig(path_).status(), path_, {});
  }
  // Index of a tensor in the writer's list.
  static GgufWriter::Tensor& Find(GgufWriter& writer, const std::string& name) {
    for (GgufWriter::Tensor& tensor : writer.tensors) {
      if (tensor.name == name) return tensor;
    }
    ADD_FAILURE() << name;
    return writer.tensors[0];
  }

  TempFolder folder_;
  std::string path_;
};

TEST_F(GgufModelTest, ReadsLlama) {
  const auto loaded = Load(TinyGguf());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ModelConfig& config = (*loaded)->config;
  EXPECT_EQ(config.name, std::filesystem::path(path_).stem());
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.vocab_size, 48);
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.intermediate_size, 64);
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.max_position, 128);
  EXPECT_FLOAT_EQ(config.norm_epsilon, 1e-5f);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_EQ(config.rope.pairs, RopePairs::kNeighbours);
  EXPECT_EQ(config.rope.base, 10000.0);
  EXPECT_EQ(config.rope.rotary_dim, 0);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kNone);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.sliding_window, 0);
}

TEST_F(GgufModelTest, BindsTensorsWhereTheyAreMapped) {
  const auto loaded = Load(TinyGguf());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ModelWeights& weights = (*loaded)->weights;
  ASSERT_EQ(weights.layers.size(), 2u);
  EXPECT_EQ((*loaded)->files.size(), 1u);
  EXPECT_TRUE((*loaded)->storage.empty()) << "nothing is copied";
  EXPECT_EQ(weights.head.data, weights.embedding.data);
  EXPECT_EQ(weights.embedding.rows, 48);
  EXPECT_EQ(weights.embedding.cols, 32);
  const LayerWeights& layer = weights.layers[1];
  EXPECT_EQ(layer.k.rows, 16);
  EXPECT_EQ(layer.k.cols, 32);
  EXPECT_EQ(layer.down.rows, 32);
  EXPECT_EQ(layer.down.cols, 64);
  EXPECT_TRUE(layer.q_bias.empty());
  // Tensor i of the file holds i / 64: the second layer's nine begin at 10.
  EXPECT_THAT(layer.attention_norm, Each(10.0f / 64));
  EXPECT_EQ(*static_cast<const float*>(layer.q.data), 11.0f / 64);
  EXPECT_EQ(*static_cast<const float*>(layer.down.data), 18.0f / 64);
  EXPECT_EQ(weights.final_norm, std::vector<float>(32, 19.0f / 64));
}

TEST_F(GgufModelTest, WidensVectorsOf16Bits) {
  struct Case {
    uint32_t type;
    uint16_t bits;
    float value;
  };
  for (const Case& c :
       {Case{GgufWriter::kF16, 0x3c00, 1.0f}, Case{GgufWriter::kF16, 0xc248, -3.140625f},
        Case{GgufWriter::kF16, 0x7bff, 65504.0f}, Case{GgufWriter::kF16, 0x0001, 0x1p-24f},
        Case{GgufWriter::kF16, 0x83ff, -1023 * 0x1p-24f}, Case{GgufWriter::kF16, 0x8000, 0.0f},
        Case{GgufWriter::kF16, 0x7c00, std::numeric_limits<float>::infinity()},
        Case{GgufWriter::kBF16, 0x3f80, 1.0f}, Case{GgufWriter::kBF16, 0xc049, -3.140625f}}) {
    GgufWriter writer = TinyGguf();
    Find(writer, "output_norm.weight").name = "ignored.rotary_emb.inv_freq";
    std::string data;
    for (int i = 0; i < 32; ++i) data += GgufWriter::Bytes(c.bits);
    writer.AddTensor("output_norm.weight", c.type, {32}, data);
    const auto loaded = Load(writer);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_THAT((*loaded)->weights.final_norm, Each(c.value));
  }
}

TEST_F(GgufModelTest, ReadsUntiedHead) {
  const auto loaded = Load(TinyGguf({.tied = false}));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE((*loaded)->config.tied_embeddings);
  EXPECT_NE((*loaded)->weights.head.data, (*loaded)->weights.embedding.data);
}

TEST_F(GgufModelTest, ReadsQwen2WithBiases) {
  const auto loaded = Load(TinyGguf({.architecture = "qwen2", .qkv_bias = true}));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE((*loaded)->config.qkv_bias);
  EXPECT_EQ((*loaded)->config.rope.pairs, RopePairs::kHalves);
  EXPECT_EQ((*loaded)->weights.layers[0].q_bias.size(), 32u);
  EXPECT_EQ((*loaded)->weights.layers[0].v_bias.size(), 16u);
}

TEST_F(GgufModelTest, ReadsQwen3WithHeadNorms) {
  const auto loaded = Load(TinyGguf({.architecture = "qwen3", .qk_norm = true}));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->config.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ((*loaded)->weights.layers[0].q_norm.size(), 8u);
}

TEST_F(GgufModelTest, ReadsGemma3) {
  GgufWriter writer = TinyGguf({.architecture = "gemma3", .qk_norm = true, .post_norms = true});
  writer.AddUint32("gemma3.attention.sliding_window", 16);
  writer.AddUint32("gemma3.attention.sliding_window_pattern", 2);
  writer.AddFloat("gemma3.rope.freq_base", 1e6f);
  writer.AddString("gemma3.rope.scaling.type", "linear");
  writer.AddFloat("gemma3.rope.scaling.factor", 8.0f);
  const auto loaded = Load(writer);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ModelConfig& config = (*loaded)->config;
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_TRUE(config.post_norms);
  EXPECT_EQ(config.sliding_window, 16);
  EXPECT_THAT(config.is_sliding, ElementsAre(true, false));
  EXPECT_EQ(config.rope.base, 1e6);
  EXPECT_EQ(config.rope.local_base, 10000.0);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(config.rope.factor, 8.0);
  EXPECT_FLOAT_EQ(config.embedding_scale, std::sqrt(32.0f)) << "a float32 file is not rounded";
  const LayerWeights& layer = (*loaded)->weights.layers[0];
  EXPECT_EQ(layer.post_attention_norm.size(), 32u);
  EXPECT_EQ(layer.post_mlp_norm.size(), 32u);
  // Gemma's GGUF files have the 1 added already.
  EXPECT_EQ(layer.attention_norm[0], 1.0f / 64);
}

TEST_F(GgufModelTest, ScalesAttentionOfTheLargestGemma3ByItsWidth) {
  GgufWriter writer = TinyGguf({.architecture = "gemma3", .qk_norm = true, .post_norms = true});
  std::string file = writer.Build();
  const std::string key = "gemma3.block_count";
  file.replace(file.find(key) + key.size() + 4, 4, GgufWriter::Bytes(uint32_t{62}));
  const auto config = LoadModelConfig(folder_.Write("tiny.gguf", file));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FLOAT_EQ(config->AttentionScale(), 1 / std::sqrt(32.0f / 4));
}

TEST_F(GgufModelTest, ReadsSlidingLayersAsListOfBools) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.attention.sliding_window", 8);
  writer.AddBools("llama.attention.sliding_window_pattern", {false, true});
  EXPECT_THAT(Config(writer).is_sliding, ElementsAre(false, true));
}

TEST_F(GgufModelTest, SlidesInEveryLayerOfMistral) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.attention.sliding_window", 8);
  const ModelConfig config = Config(writer);
  EXPECT_TRUE(config.LayerSlides(0) && config.LayerSlides(1));
}

TEST_F(GgufModelTest, ReadsExplicitHeadSize) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.attention.key_length", 16);
  writer.AddUint32("llama.attention.value_length", 16);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    // The same bytes, twice as many rows of half the length: shapes are what is checked here.
    Find(writer, layer + "attn_q.weight").dims = {32, 64};
    Find(writer, layer + "attn_k.weight").dims = {32, 32};
    Find(writer, layer + "attn_v.weight").dims = {32, 32};
    Find(writer, layer + "attn_output.weight").dims = {64, 32};
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      Find(writer, layer + name + ".weight").type = GgufWriter::kBF16;
    }
  }
  const auto loaded = Load(writer);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->config.head_dim, 16);
  EXPECT_EQ((*loaded)->weights.layers[0].o.cols, 64);
}

TEST_F(GgufModelTest, ReadsRopeDimensionsAndBase) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.rope.dimension_count", 4);
  writer.AddFloat("llama.rope.freq_base", 500000.0f);
  const ModelConfig config = Config(writer);
  EXPECT_EQ(config.rope.rotary_dim, 4);
  EXPECT_EQ(config.rope.base, 500000.0);
}

TEST_F(GgufModelTest, ReadsFrequencyFactorsOfLlama3) {
  GgufWriter writer = TinyGguf();
  writer.AddFloats("rope_freqs.weight", {4}, {1, 1, 2, 8});
  EXPECT_THAT(Config(writer).rope.freq_factors, ElementsAre(1, 1, 2, 8));
  EXPECT_THAT(LoadModelConfig(path_)->rope.freq_factors, ElementsAre(1, 1, 2, 8));
}

TEST_F(GgufModelTest, ReadsYarn) {
  GgufWriter writer = TinyGguf();
  writer.AddString("llama.rope.scaling.type", "yarn");
  writer.AddFloat("llama.rope.scaling.factor", 4.0f);
  writer.AddUint32("llama.rope.scaling.original_context_length", 32);
  const RopeConfig rope = Config(writer).rope;
  EXPECT_EQ(rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(rope.original_max_position, 32);
  EXPECT_EQ(rope.attention_factor, 0.0);

  writer.AddFloat("llama.rope.scaling.attn_factor", 0.5f);
  EXPECT_DOUBLE_EQ(Config(writer).rope.attention_factor, 0.5 * (0.1 * std::log(4.0) + 1));
}

TEST_F(GgufModelTest, ReadsLinearFactorOfOldFiles) {
  GgufWriter writer = TinyGguf();
  writer.AddFloat("llama.rope.scale_linear", 2.0f);
  EXPECT_EQ(Config(writer).rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(Config(writer).rope.factor, 2.0);
}

TEST_F(GgufModelTest, GivesTokenizerMetadata) {
  GgufWriter writer = TinyGguf();
  writer.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
  const std::string path = folder_.Write("tiny.gguf", writer.Build());
  const auto source = LoadTokenizerSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->gguf.FindStrings("tokenizer.ggml.tokens")->size(), 2u);
  EXPECT_TRUE(source->tokenizer_json.empty());
}

TEST_F(GgufModelTest, HashesContentNotPathOrName) {
  const uint64_t hash = (*Load(TinyGguf()))->content_hash;
  GgufWriter with_template = TinyGguf();
  with_template.AddString("tokenizer.chat_template", "{{ messages }}");
  EXPECT_EQ((*Load(with_template))->content_hash, hash);

  GgufWriter other_base = TinyGguf();
  other_base.AddFloat("llama.rope.freq_base", 20000.0f);
  EXPECT_NE((*Load(other_base))->content_hash, hash);
  std::string other_weights = TinyGguf().Build();
  other_weights.back() ^= 1;
  folder_.Write("tiny.gguf", other_weights);
  EXPECT_NE((*LoadModel(path_))->content_hash, hash);
  // Pinned: workers of different builds compare hashes.
  EXPECT_EQ(hash, 17163883062543761347u);
}

TEST_F(GgufModelTest, ReportsAbsentArchitecture) {
  GgufWriter writer;
  AddTinyTensors({}, &writer);
  ExpectMalformed(Load(writer).status(), path_, {"general.architecture is absent"});
}

TEST_F(GgufModelTest, NamesUnknownArchitectureAndTheSupportedOnes) {
  ExpectUnsupported(Load(TinyGguf({.architecture = "qwen3moe"})).status(), path_,
                    {"\"qwen3moe\"", "llama, mistral, qwen2, qwen3, gemma3"});
}

TEST_F(GgufModelTest, ReportsMixtureOfExperts) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.expert_count", 8);
  ExpectUnsupported(Load(writer).status(), path_, {"\"llama\"", "8 experts"});
}

TEST_F(GgufModelTest, ReportsSplitModel) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("split.count", 3);
  ExpectUnsupported(Load(writer).status(), path_, {"one of 3 parts"});
}

TEST_F(GgufModelTest, ReportsMissingKey) {
  GgufWriter writer;
  writer.AddString("general.architecture", "llama");
  AddTinyTensors({}, &writer);
  ExpectMalformed(Load(writer).status(), path_, {"llama.block_count is absent"});
}

TEST_F(GgufModelTest, ReportsKeyOfAnotherType) {
  GgufWriter writer;
  writer.AddString("general.architecture", "llama");
  writer.AddString("llama.block_count", "2");
  AddTinyTensors({}, &writer);
  ExpectMalformed(Load(writer).status(), path_, {"llama.block_count"});
}

TEST_F(GgufModelTest, ReportsSizesThatAreZeroOrAbsurd) {
  ExpectBrokenWith("llama.block_count", 0, {"num_layers is 0"});
  ExpectBrokenWith("llama.block_count", 0x7fffffff, {"num_layers is 2147483647"});
  ExpectBrokenWith("llama.block_count", 0xffffffff, {"llama.block_count is 4294967295"});
  ExpectBrokenWith("llama.embedding_length", 0, {"hidden_size is 0"});
  ExpectBrokenWith("llama.feed_forward_length", 0, {"intermediate_size is 0"});
  ExpectBrokenWith("llama.context_length", 0, {"max_position is 0"});
  ExpectBrokenWith("llama.context_length", 0x7fffffff, {"max_position is 2147483647"});
}

TEST_F(GgufModelTest, ReportsHeadsThatDoNotDivide) {
  ExpectBrokenWith("llama.attention.head_count", 0, {"head_count 0 does not divide"});
  ExpectBrokenWith("llama.attention.head_count", 5, {"head_count 5 does not divide"});
  ExpectBrokenWith("llama.attention.head_count_kv", 3, {"not a multiple of num_kv_heads 3"});
  ExpectBrokenWith("llama.attention.head_count_kv", 0, {"num_kv_heads is 0"});
  ExpectBrokenWith("llama.attention.head_count", 32, {"head_dim 1 is odd"});
}

TEST_F(GgufModelTest, ReportsRopeThatCannotBe) {
  ExpectBrokenBy("llama.rope.dimension_count", 3, {"rotary dimension 3"});
  ExpectBrokenBy("llama.rope.dimension_count", 16, {"rotary dimension 16"});
  ExpectBrokenBy("llama.rope.freq_base", 0, {"rope base is 0"});
  GgufWriter scaling = TinyGguf();
  scaling.AddString("llama.rope.scaling.type", "longrope");
  ExpectUnsupported(Load(scaling).status(), path_, {"longrope", "linear, yarn"});
  GgufWriter factors = TinyGguf();
  factors.AddFloats("rope_freqs.weight", {3}, {1, 1, 1});
  ExpectMalformed(Load(factors).status(), path_, {"rope_freqs.weight", "[4]", "[3]"});
  GgufWriter zero = TinyGguf();
  zero.AddFloats("rope_freqs.weight", {4}, {1, 1, 0, 1});
  ExpectMalformed(Load(zero).status(), path_, {"rope frequency factor is 0"});
}

TEST_F(GgufModelTest, ReportsNumbersThatAreNotFinite) {
  for (float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f}) {
    GgufWriter writer = TinyGguf();
    writer.AddFloat("llama.rope.freq_base", value);
    ExpectMalformed(Load(writer).status(), path_, {"base"});
    GgufWriter scale = TinyGguf();
    scale.AddFloat("llama.attention.scale", value);
    ExpectMalformed(Load(scale).status(), path_, {"scale"});
  }
}

TEST_F(GgufModelTest, ReportsSlidingListOfAnotherLength) {
  GgufWriter writer = TinyGguf();
  writer.AddUint32("llama.attention.sliding_window", 8);
  writer.AddBools("llama.attention.sliding_window_pattern", {true});
  ExpectMalformed(Load(writer).status(), path_, {"1 entries for 2 layers"});
}

TEST_F(GgufModelTest, ReportsMissingTensor) {
  for (const std::string name : {"token_embd.weight", "blk.1.attn_k.weight", "output_norm.weight",
                                 "blk.0.ffn_norm.weight"}) {
    GgufWriter writer = TinyGguf();
    Find(writer, name).name = "elsewhere";
    ExpectMalformed(Load(writer).status(), path_, {"tensor \"" + name + "\" is missing"});
  }
}

TEST_F(GgufModelTest, ReportsWrongShapeWithBothShapes) {
  GgufWriter writer = TinyGguf();
  Find(writer, "blk.1.ffn_up.weight").dims = {64, 32};
  ExpectMalformed(Load(writer).status(), path_,
                  {"tensor \"blk.1.ffn_up.weight\"", "expected shape [64, 32], found [32, 64]"});
  GgufWriter norm = TinyGguf();
  Find(norm, "output_norm.weight").dims = {16, 2};
  ExpectMalformed(Load(norm).status(), path_, {"output_norm.weight", "[32]", "[2, 16]"});
  GgufWriter embedding = TinyGguf();
  Find(embedding, "token_embd.weight").dims = {48};
  ExpectMalformed(Load(embedding).status(), path_, {"token_embd.weight", "[48]"});
}

TEST_F(GgufModelTest, ReportsQuantisedNorm) {
  GgufWriter writer = TinyGguf();
  Find(writer, "output_norm.weight").type = GgufWriter::kQ8_0;
  ExpectUnsupported(Load(writer).status(), path_, {"output_norm.weight", "Q8_0", "vector"});
}

TEST_F(GgufModelTest, ReportsTensorThatTheArchitectureHasNoPlaceFor) {
  GgufWriter writer = TinyGguf();
  writer.AddFloats("blk.0.attn_output.bias", {32}, std::vector<float>(32));
  ExpectUnsupported(Load(writer).status(), path_, {"\"blk.0.attn_output.bias\"", "no place"});
}

TEST_F(GgufModelTest, IgnoresTablesThatAreComputed) {
  GgufWriter writer = TinyGguf();
  writer.AddFloats("blk.0.attn_rot_embd.weight", {4}, std::vector<float>(4));
  EXPECT_TRUE(Load(writer).ok());
}

TEST_F(GgufModelTest, ReportsMoreTokensThanEmbeddings) {
  GgufWriter writer = TinyGguf();
  writer.AddStrings("tokenizer.ggml.tokens", std::vector<std::string>(49, "x"));
  ExpectMalformed(Load(writer).status(), path_, {"49 tokens", "48 rows"});
}

}  // namespace
}  // namespace tandem
