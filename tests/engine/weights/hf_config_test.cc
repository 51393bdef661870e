// config.json in its old and new forms, with what published ones leave out, and broken ones.
#include "engine/weights/hf_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/engine/weights/expect_error.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

class HfConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<ModelConfig> Read(const json& config) {
    path_ = folder_.Write("config.json", config.dump());
    auto read = ReadHfConfig(folder_.path());
    if (!read.ok()) return read.status();
    return read->config;
  }
  ModelConfig Config(const json& config) {
    const auto read = Read(config);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? *read : ModelConfig{};
  }
  // A sound Llama with these keys changed.
  static json Llama(const json& changes = json::object()) {
    json config = {
        {"model_type", "llama"},          {"vocab_size", 320},      {"hidden_size", 64},
        {"intermediate_size", 96},        {"num_hidden_layers", 4}, {"num_attention_heads", 4},
        {"max_position_embeddings", 256}, {"rms_norm_eps", 1e-5}};
    config.update(changes);
    return config;
  }
  void ExpectBroken(const json& changes, std::initializer_list<std::string> parts) {
    const auto read = Read(Llama(changes));
    ExpectMalformed(read.status(), path_, parts);
  }
  void ExpectRefused(const json& changes, std::initializer_list<std::string> parts) {
    const auto read = Read(Llama(changes));
    ExpectUnsupported(read.status(), path_, parts);
  }

  TempFolder folder_;
  std::string path_;
};

TEST_F(HfConfigTest, DerivesHeadSizeAndKvHeads) {
  const ModelConfig config = Config(Llama({{"head_dim", nullptr}}));
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.rope.base, 10000.0);
  EXPECT_FALSE(config.tied_embeddings);
}

TEST_F(HfConfigTest, ReadsOldRopeScalingOfLlama3) {
  const ModelConfig config = Config(Llama({{"rope_theta", 500000.0},
                                           {"rope_scaling",
                                            {{"factor", 32.0},
                                             {"high_freq_factor", 4.0},
                                             {"low_freq_factor", 1.0},
                                             {"original_max_position_embeddings", 8192},
                                             {"rope_type", "llama3"}}}}));
  EXPECT_EQ(config.rope.base, 500000.0);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config.rope.factor, 32.0);
  EXPECT_EQ(config.rope.original_max_position, 8192);
}

TEST_F(HfConfigTest, ReadsOldestRopeScalingByType) {
  const RopeConfig rope =
      Config(Llama({{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}})).rope;
  EXPECT_EQ(rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(rope.factor, 2.5);
  EXPECT_EQ(Config(Llama({{"rope_scaling", nullptr}})).rope.scaling, RopeScaling::kNone);
}

TEST_F(HfConfigTest, ReadsYarnWithItsDefaults) {
  const RopeConfig rope = Config(Llama({{"rope_scaling",
                                         {{"rope_type", "yarn"},
                                          {"factor", 4.0},
                                          {"original_max_position_embeddings", 64}}}}))
                              .rope;
  EXPECT_EQ(rope.scaling, RopeScaling::kYarn);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(rope.original_max_position, 64);
  EXPECT_EQ(rope.beta_fast, 32.0);
  EXPECT_EQ(rope.beta_slow, 1.0);
  EXPECT_EQ(rope.attention_factor, 0.0) << "0.1 * ln(factor) + 1";
}

TEST_F(HfConfigTest, ReadsYarnWithEverythingSaid) {
  json yarn = {{"rope_type", "yarn"},
               {"rope_theta", 1e6},
               {"beta_fast", 16},
               {"beta_slow", 2},
               {"attention_factor", 1.5}};
  yarn["original_max_position_embeddings"] = 64;  // factor: 256 / 64
  RopeConfig rope = Config(Llama({{"rope_parameters", yarn}})).rope;
  EXPECT_EQ(rope.base, 1e6);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(rope.beta_fast, 16.0);
  EXPECT_EQ(rope.beta_slow, 2.0);
  EXPECT_EQ(rope.attention_factor, 1.5);
  yarn.erase("attention_factor");
  yarn["mscale"] = 0.707;
  yarn["mscale_all_dim"] = 1.0;
  rope = Config(Llama({{"rope_parameters", yarn}})).rope;
  EXPECT_NEAR(rope.attention_factor, (0.0707 * std::log(4.0) + 1) / (0.1 * std::log(4.0) + 1),
              1e-12);
}

TEST_F(HfConfigTest, ReadsPartialRotation) {
  EXPECT_EQ(Config(Llama({{"partial_rotary_factor", 0.5}})).rope.rotary_dim, 8);
}

TEST_F(HfConfigTest, GivesMistralItsWindowUnlessItIsNull) {
  json config = Llama({{"model_type", "mistral"}, {"num_key_value_heads", 2}});
  EXPECT_EQ(Config(config).sliding_window, 4096) << "the default of transformers";
  config["sliding_window"] = 32;
  EXPECT_EQ(Config(config).sliding_window, 32);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(Config(config).sliding_window, 0);
}

TEST_F(HfConfigTest, GivesQwenAWindowOnlyWhereItIsSwitchedOn) {
  json config = Llama({{"model_type", "qwen2"},
                       {"num_key_value_heads", 2},
                       {"sliding_window", 32},
                       {"use_sliding_window", false},
                       {"max_window_layers", 3}});
  EXPECT_EQ(Config(config).sliding_window, 0);
  config["use_sliding_window"] = true;
  EXPECT_EQ(Config(config).sliding_window, 32);
  EXPECT_THAT(Config(config).is_sliding, ElementsAre(false, false, false, true));
  config["max_window_layers"] = 28;
  EXPECT_EQ(Config(config).sliding_window, 0) << "no layer slides";
}

TEST_F(HfConfigTest, ReadsPublishedGemma3WithItsTextConfig) {
  const ModelConfig config = Config({{"architectures", {"Gemma3ForConditionalGeneration"}},
                                     {"model_type", "gemma3"},
                                     {"torch_dtype", "bfloat16"},
                                     {"vision_config", {{"hidden_size", 1152}}},
                                     {"text_config",
                                      {{"model_type", "gemma3_text"},
                                       {"hidden_size", 2560},
                                       {"intermediate_size", 10240},
                                       {"num_hidden_layers", 34},
                                       {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                                       {"sliding_window", 1024}}}});
  EXPECT_EQ(config.architecture, "gemma3");
  EXPECT_EQ(config.vocab_size, 262208);
  EXPECT_EQ(config.num_heads, 8);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.max_position, 131072);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_EQ(config.rope.base, 1e6);
  EXPECT_EQ(config.rope.local_base, 1e4);
  EXPECT_EQ(config.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(config.rope.factor, 8.0);
  EXPECT_EQ(config.sliding_window, 1024);
  EXPECT_TRUE(config.LayerSlides(4));
  EXPECT_FALSE(config.LayerSlides(5));
  EXPECT_FLOAT_EQ(config.AttentionScale(), 1.0f / 16);
  EXPECT_EQ(config.embedding_scale, 50.5f) << "sqrt(2560) = 50.596 in bfloat16";
}

TEST_F(HfConfigTest, FindsArchitectureByClassWhereModelTypeIsMissing) {
  json config = Llama({{"architectures", {"LlamaForCausalLM"}}});
  config.erase("model_type");
  EXPECT_EQ(Config(config).architecture, "llama");
}

TEST_F(HfConfigTest, NamesUnknownArchitectureAndTheSupportedOnes) {
  ExpectRefused({{"model_type", "mixtral"}}, {"\"mixtral\"", "llama, mistral, qwen2, qwen3"});
  ExpectRefused({{"model_type", "phi3"}}, {"\"phi3\""});
  ExpectRefused({{"model_type", ""}}, {"architecture \"\""});
}

TEST_F(HfConfigTest, RefusesWhatForwardDoesNotCompute) {
  ExpectRefused({{"attention_bias", true}}, {"\"attention_bias\""});
  ExpectRefused({{"mlp_bias", true}}, {"\"mlp_bias\""});
  ExpectRefused({{"attn_logit_softcapping", 50.0}}, {"\"attn_logit_softcapping\""});
  ExpectRefused({{"quantization_config", {{"quant_method", "gptq"}}}}, {"\"quantization_config\""});
  ExpectRefused({{"num_local_experts", 8}}, {"8 experts"});
  ExpectRefused({{"hidden_act", "relu"}}, {"\"relu\"", "silu"});
  ExpectRefused({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}},
                {"\"dynamic\"", "linear, llama3, yarn"});
  ExpectRefused(
      {{"model_type", "gemma3_text"},
       {"layer_types", {"full_attention", "linear_attention", "full_attention", "full_attention"}}},
      {"\"linear_attention\""});
}

TEST_F(HfConfigTest, ReportsMissingAndMistypedKeys) {
  ExpectBroken({{"hidden_size", nullptr}}, {"\"hidden_size\" is missing"});
  ExpectBroken({{"hidden_size", "64"}}, {"\"hidden_size\" must be an integer, not string"});
  ExpectBroken({{"hidden_size", 64.5}}, {"\"hidden_size\" must be an integer"});
  ExpectBroken({{"hidden_size", ~uint64_t{0}}}, {"\"hidden_size\""});
  ExpectBroken({{"hidden_size", -64}}, {"\"hidden_size\" is -64"});
  ExpectBroken({{"model_type", 5}}, {"\"model_type\" must be a string"});
  ExpectBroken({{"tie_word_embeddings", "yes"}}, {"\"tie_word_embeddings\""});
  ExpectBroken({{"rope_scaling", 5}}, {"\"rope_scaling\" must be an object"});
  ExpectBroken({{"rope_scaling", {{"type", "linear"}}}}, {"\"factor\" is missing"});
  ExpectBroken({{"text_config", 5}}, {"\"text_config\" must be an object"});
}

TEST_F(HfConfigTest, ReportsSizesThatCannotBe) {
  ExpectBroken({{"num_hidden_layers", 0}}, {"num_layers is 0"});
  ExpectBroken({{"num_hidden_layers", 2000000000}}, {"num_layers is 2000000000"});
  ExpectBroken({{"num_attention_heads", 5}}, {"5 does not divide"});
  ExpectBroken({{"num_attention_heads", 0}}, {"0 does not divide"});
  ExpectBroken({{"num_key_value_heads", 3}}, {"not a multiple of num_kv_heads 3"});
  ExpectBroken({{"head_dim", 7}}, {"head_dim 7 is odd"});
  ExpectBroken({{"head_dim", 0}}, {"head_dim is 0"});
  ExpectBroken({{"vocab_size", 0}}, {"vocab_size is 0"});
  ExpectBroken({{"max_position_embeddings", 2000000000}}, {"max_position is 2000000000"});
}

TEST_F(HfConfigTest, ReportsNumbersThatCannotBe) {
  ExpectBroken({{"rms_norm_eps", -1.0}}, {"norm epsilon is -1"});
  ExpectBroken({{"rope_theta", 0}}, {"rope base is 0"});
  ExpectBroken({{"partial_rotary_factor", 2.0}}, {"\"partial_rotary_factor\" is 2"});
  ExpectBroken({{"query_pre_attn_scalar", -2}}, {"\"query_pre_attn_scalar\" is -2"});
  ExpectBroken({{"rope_scaling", {{"type", "linear"}, {"factor", 0.0}}}}, {"factor is 0"});
  ExpectBroken({{"rope_scaling",
                 {{"type", "llama3"},
                  {"factor", 8.0},
                  {"low_freq_factor", 4.0},
                  {"high_freq_factor", 4.0}}}},
               {"high_freq_factor 4 is not above"});
  ExpectBroken({{"rope_scaling",
                 {{"type", "yarn"}, {"factor", 8.0}, {"original_max_position_embeddings", 0}}}},
               {"original_max_position_embeddings is 0"});
}

TEST_F(HfConfigTest, ReportsLayerTypesOfAnotherLength) {
  ExpectBroken({{"model_type", "mistral"},
                {"num_key_value_heads", 2},
                {"layer_types", {"sliding_attention"}}},
               {"\"layer_types\" is not a list of 4"});
}

TEST_F(HfConfigTest, ReportsWhatIsNoJson) {
  // NaN and Infinity are what Python writes for such numbers; JSON has neither.
  for (const std::string text : {"", "{", "[]", "{\"rms_norm_eps\": NaN}", "{\"a\": 1e999}"}) {
    const std::string path = folder_.Write("config.json", text);
    ExpectMalformed(ReadHfConfig(folder_.path()).status(), path, {});
  }
}

}  // namespace
}  // namespace tandem
