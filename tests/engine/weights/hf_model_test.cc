// Hugging Face folders: the tiny checkpoints of transformers, and folders that are broken.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/weights/model_weights.h"
#include "tests/engine/weights/expect_error.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

std::string TinyFolder(const std::string& name) {
  return std::string(TANDEM_SOURCE_DIR) + "/tests/golden/tiny/" + name;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::unique_ptr<Model> LoadTiny(const std::string& name) {
  auto model = LoadModel(TinyFolder(name));
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? std::move(*model) : std::make_unique<Model>();
}

// The tensors of a tiny checkpoint, to be changed and written elsewhere.
SafetensorsWriter TinyTensors(const std::string& name) {
  const std::string file = ReadFile(TinyFolder(name) + "/model.safetensors");
  uint64_t header_bytes;
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  SafetensorsWriter writer;
  writer.directory = json::parse(file.substr(8, header_bytes));
  writer.data = file.substr(8 + header_bytes);
  return writer;
}

class HfModelTest : public ::testing::Test {
 protected:
  // A folder with the config of tiny `name` and these tensors.
  absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& name,
                                              const SafetensorsWriter& tensors) {
    folder_.Write("config.json", ReadFile(TinyFolder(name) + "/config.json"));
    folder_.Write("model.safetensors", tensors.Build());
    return LoadModel(folder_.path());
  }

  TempFolder folder_;
};

TEST_F(HfModelTest, ReadsLlama) {
  const auto model = LoadTiny("llama");
  const ModelConfig& config = model->config;
  EXPECT_EQ(config.name, "llama");
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.vocab_size, 320);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 96);
  EXPECT_EQ(config.num_layers, 4);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.max_position, 256);
  EXPECT_FLOAT_EQ(config.norm_epsilon, 1e-6f);
  EXPECT_EQ(config.rope.pairs, RopePairs::kHalves);
  EXPECT_EQ(config.rope.base, 10000.0);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(model->weights.layers[3].q.dtype, DType::kF32);
  EXPECT_EQ(model->weights.layers[3].v.rows, 32);
  EXPECT_NE(model->weights.head.data, model->weights.embedding.data);
}

TEST_F(HfModelTest, ReadsLlama3ScalingAndTiedHead) {
  const auto model = LoadTiny("llama3_rope_tied");
  const RopeConfig& rope = model->config.rope;
  EXPECT_EQ(rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(rope.base, 500000.0);
  EXPECT_EQ(rope.factor, 8.0);
  EXPECT_EQ(rope.low_freq_factor, 1.0);
  EXPECT_EQ(rope.high_freq_factor, 4.0);
  EXPECT_EQ(rope.original_max_position, 32);
  EXPECT_TRUE(model->config.tied_embeddings);
  EXPECT_EQ(model->weights.head.data, model->weights.embedding.data);
  EXPECT_EQ(model->weights.embedding.dtype, DType::kBF16);
}

TEST_F(HfModelTest, ReadsOddWidths) {
  const auto model = LoadTiny("llama_odd");
  EXPECT_EQ(model->config.num_heads, 9);
  EXPECT_EQ(model->config.head_dim, 8);
  EXPECT_EQ(model->weights.layers[0].down.cols, 100);
}

TEST_F(HfModelTest, ReadsMistralWindow) {
  const auto model = LoadTiny("mistral_window");
  EXPECT_EQ(model->config.sliding_window, 16);
  EXPECT_TRUE(model->config.is_sliding.empty()) << "every layer slides";
}

TEST_F(HfModelTest, ReadsQwen2Biases) {
  const auto model = LoadTiny("qwen2");
  EXPECT_TRUE(model->config.qkv_bias);
  EXPECT_EQ(model->config.sliding_window, 0);
  EXPECT_EQ(model->weights.layers[0].q.dtype, DType::kF16);
  ASSERT_EQ(model->weights.layers[0].q_bias.size(), 64u);
  ASSERT_EQ(model->weights.layers[0].k_bias.size(), 32u);
  // Drawn with deviation 0.1: converted from float16, not reinterpreted.
  float largest = 0;
  for (float bias : model->weights.layers[0].q_bias) largest = std::max(largest, std::abs(bias));
  EXPECT_GT(largest, 0.1f);
  EXPECT_LT(largest, 0.6f);
}

TEST_F(HfModelTest, ReadsQwen3HeadNorms) {
  const auto model = LoadTiny("qwen3");
  EXPECT_EQ(model->config.qk_norm, QkNorm::kPerHead);
  EXPECT_EQ(model->config.head_dim, 24);
  EXPECT_EQ(model->weights.layers[0].k_norm.size(), 24u);
  EXPECT_EQ(model->weights.layers[0].o.cols, 96);
}

TEST_F(HfModelTest, ReadsGemma3) {
  const auto model = LoadTiny("gemma3");
  const ModelConfig& config = model->config;
  EXPECT_EQ(config.architecture, "gemma3");
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_TRUE(config.post_norms);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.embedding_scale, 8.0f);
  EXPECT_FLOAT_EQ(config.AttentionScale(), 1 / std::sqrt(24.0f));
  EXPECT_EQ(config.sliding_window, 8);
  EXPECT_THAT(config.is_sliding, ElementsAre(true, true, true, true, true, false));
  EXPECT_EQ(config.rope.base, 1e6);
  EXPECT_EQ(config.rope.local_base, 1e4);
  // Norm weights are spread around 0 in the file, around 1 here.
  const std::vector<float>& norm = model->weights.layers[0].post_mlp_norm;
  float sum = 0;
  for (float weight : norm) sum += weight;
  EXPECT_NEAR(sum / norm.size(), 1.0f, 0.2f);
}

TEST_F(HfModelTest, ReadsShardsAsOneFile) {
  const SafetensorsWriter whole = TinyTensors("llama");
  json weight_map;
  SafetensorsWriter shards[2];
  int next = 0;
  for (const auto& [name, entry] : whole.directory.items()) {
    if (name == "__metadata__") continue;
    const size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    const int shard = next++ % 2;
    shards[shard].Add(name, entry["dtype"], entry["shape"], whole.data.substr(begin, end - begin));
    weight_map[name] = shard == 0 ? "one.safetensors" : "two.safetensors";
  }
  folder_.Write("config.json", ReadFile(TinyFolder("llama") + "/config.json"));
  folder_.Write("one.safetensors", shards[0].Build());
  folder_.Write("two.safetensors", shards[1].Build());
  folder_.Write("model.safetensors.index.json", json{{"weight_map", weight_map}}.dump());
  const auto model = LoadModel(folder_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->content_hash, LoadTiny("llama")->content_hash);
}

TEST_F(HfModelTest, CopiesOnlyTensorsThatAreNotAligned) {
  SafetensorsWriter writer = TinyTensors("llama");
  std::string header = writer.directory.dump();
  header.resize(header.size() + (8 - header.size() % 8) % 8 + 1, ' ');  // data at an odd address
  folder_.Write("config.json", ReadFile(TinyFolder("llama") + "/config.json"));
  folder_.Write("model.safetensors", SafetensorsFile(header.size(), header, writer.data));
  const auto model = LoadModel(folder_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  const auto aligned = LoadTiny("llama");
  EXPECT_TRUE(aligned->storage.empty());
  EXPECT_FALSE((*model)->storage.empty());
  const MatrixView& copy = (*model)->weights.layers[2].up;
  const MatrixView& original = aligned->weights.layers[2].up;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(copy.data) % sizeof(float), 0u);
  EXPECT_EQ(std::memcmp(copy.data, original.data, original.Bytes()), 0);
}

TEST_F(HfModelTest, FindsTheDecoderOfMultimodalCheckpoints) {
  const SafetensorsWriter whole = TinyTensors("gemma3");
  for (const std::string prefix : {"language_model.model.", "model.language_model.", ""}) {
    SafetensorsWriter nested = whole;
    nested.directory = json::object();
    for (const auto& [name, entry] : whole.directory.items()) {
      if (name != "__metadata__") nested.directory[prefix + name.substr(6)] = entry;
    }
    nested.Add("vision_tower.patch.weight", "F32", {1}, "1234");
    const auto model = Load("gemma3", nested);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->weights.layers.size(), 6u);
  }
}

TEST_F(HfModelTest, IgnoresStoredCopyOfTiedHead) {
  SafetensorsWriter tensors = TinyTensors("llama3_rope_tied");
  tensors.Add("lm_head.weight", "F32", {1}, "1234");
  EXPECT_TRUE(Load("llama3_rope_tied", tensors).ok());
}

TEST_F(HfModelTest, ReportsMissingTensor) {
  SafetensorsWriter tensors = TinyTensors("llama");
  tensors.directory.erase("model.layers.2.mlp.up_proj.weight");
  ExpectMalformed(Load("llama", tensors).status(), folder_.path(),
                  {"\"model.layers.2.mlp.up_proj.weight\" is missing"});
}

TEST_F(HfModelTest, ReportsFusedTensorByTheMissingOne) {
  SafetensorsWriter tensors = TinyTensors("llama");
  tensors.directory["model.layers.0.self_attn.qkv_proj.weight"] =
      tensors.directory["model.layers.0.self_attn.q_proj.weight"];
  tensors.directory.erase("model.layers.0.self_attn.q_proj.weight");
  ExpectMalformed(Load("llama", tensors).status(), folder_.path(),
                  {"\"model.layers.0.self_attn.q_proj.weight\" is missing"});
}

TEST_F(HfModelTest, ReportsWrongShapeWithBothShapes) {
  SafetensorsWriter tensors = TinyTensors("llama");
  tensors.directory["model.layers.1.mlp.down_proj.weight"]["shape"] = {96, 64};
  ExpectMalformed(
      Load("llama", tensors).status(), folder_.path() + "/model.safetensors",
      {"\"model.layers.1.mlp.down_proj.weight\"", "expected shape [64, 96], found [96, 64]"});
}

TEST_F(HfModelTest, ReportsTypeThatKernelsDoNotRead) {
  SafetensorsWriter tensors = TinyTensors("llama");
  tensors.directory["model.norm.weight"]["dtype"] = "I32";
  ExpectUnsupported(Load("llama", tensors).status(), folder_.path(),
                    {"\"model.norm.weight\"", "I32", "F32, F16, BF16"});
}

TEST_F(HfModelTest, ReportsTensorThatTheArchitectureHasNoPlaceFor) {
  SafetensorsWriter tensors = TinyTensors("llama");
  tensors.Add("model.layers.0.self_attn.o_proj.bias", "F32", {1}, "1234");
  ExpectUnsupported(Load("llama", tensors).status(), folder_.path(), {"o_proj.bias", "no place"});
}

TEST_F(HfModelTest, ReportsFolderWithoutConfig) {
  ExpectError(LoadModel(folder_.path()).status(), absl::StatusCode::kNotFound,
              folder_.path() + "/config.json", {});
}

TEST_F(HfModelTest, NamesFolderAndFilesWithoutDoubledSlash) {
  EXPECT_EQ(LoadModelConfig(TinyFolder("llama") + "//")->name, "llama");
  ExpectError(LoadModel(folder_.path() + "/").status(), absl::StatusCode::kNotFound,
              folder_.path() + "/config.json", {});
}

TEST_F(HfModelTest, ReportsFolderWithoutWeights) {
  folder_.Write("config.json", ReadFile(TinyFolder("llama") + "/config.json"));
  ExpectError(LoadModel(folder_.path()).status(), absl::StatusCode::kNotFound, folder_.path(),
              {"model.safetensors.index.json"});
  folder_.Write("pytorch_model.bin", "x");
  ExpectError(LoadModel(folder_.path()).status(), absl::StatusCode::kNotFound, folder_.path(),
              {"pytorch_model.bin is not supported"});
}

TEST_F(HfModelTest, GivesTextsOfTheTokenizer) {
  folder_.Write("tokenizer.json", "{\"a\": 1}");
  folder_.Write("tokenizer_config.json", "{\"b\": 2}");
  folder_.Write("config.json", "{\"eos_token_id\": 7}");
  auto source = LoadTokenizerSource(folder_.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->tokenizer_json, "{\"a\": 1}");
  EXPECT_EQ(source->tokenizer_config_json, "{\"b\": 2}");
  EXPECT_EQ(source->chat_template, "");
  EXPECT_EQ(source->generation_config_json, "{\"eos_token_id\": 7}") << "of config.json";

  folder_.Write("generation_config.json", "{}");
  folder_.Write("chat_template.json", R"({"chat_template": "old {{ x }}"})");
  source = LoadTokenizerSource(folder_.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->generation_config_json, "{}");
  EXPECT_EQ(source->chat_template, "old {{ x }}");

  folder_.Write("chat_template.jinja", "new {{ x }}");
  EXPECT_EQ(LoadTokenizerSource(folder_.path())->chat_template, "new {{ x }}");
}

}  // namespace
}  // namespace tandem
