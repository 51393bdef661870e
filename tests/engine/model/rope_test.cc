#include "engine/model/rope.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

RopeConfig ConfigOf(const Json& parameters) {
  RopeConfig config;
  const std::string type = parameters.at("rope_type");
  if (type == "linear") config.scaling = RopeScaling::kLinear;
  if (type == "llama3") config.scaling = RopeScaling::kLlama3;
  if (type == "yarn") config.scaling = RopeScaling::kYarn;
  config.base = parameters.at("rope_theta");
  config.factor = parameters.value("factor", 1.0);
  config.low_freq_factor = parameters.value("low_freq_factor", 1.0);
  config.high_freq_factor = parameters.value("high_freq_factor", 4.0);
  config.original_max_position = parameters.value("original_max_position_embeddings", 0);
  config.beta_fast = parameters.value("beta_fast", 32.0);
  config.beta_slow = parameters.value("beta_slow", 1.0);
  config.attention_factor = parameters.value("attention_factor", 0.0);
  return config;
}

TEST(Rope, AgreesWithTransformersForEveryScaling) {
  const Json cases = Json::parse(std::ifstream(TANDEM_SOURCE_DIR "/tests/golden/rope/rope.json"));
  ASSERT_GE(cases.size(), 7u);
  for (const Json& golden : cases) {
    SCOPED_TRACE(golden.at("name").get<std::string>());
    const RopeConfig config = ConfigOf(golden.at("parameters"));
    const int head_dim = golden.at("head_dim");
    const auto frequencies = MakeRopeFrequencies(config, head_dim);
    ASSERT_TRUE(frequencies.ok()) << frequencies.status();
    EXPECT_NEAR(frequencies->attention_factor, golden.at("attention_factor").get<float>(), 1e-6);
    const std::vector<float> expected = golden.at("inv_freq");
    ASSERT_EQ(frequencies->radians_per_position.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(frequencies->radians_per_position[i] / expected[i], 1.0, 2e-6) << "pair " << i;
    }

    const std::vector<int> positions = golden.at("positions");
    const auto tables = MakeRopeTables(config, head_dim, positions.back() + 1);
    ASSERT_TRUE(tables.ok()) << tables.status();
    EXPECT_EQ(tables->full.rotary_dim, head_dim);
    for (size_t p = 0; p < positions.size(); ++p) {
      const size_t row = positions[p] * expected.size();
      // One unit in the last place of a frequency is as much as this at that position.
      const double tolerance = 1e-6 + positions[p] * 2.4e-7;
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(tables->full.cos[row + i], golden["cos"][p][i].get<float>(), tolerance);
        EXPECT_NEAR(tables->full.sin[row + i], golden["sin"][p][i].get<float>(), tolerance);
      }
    }
  }
}

// GGUF files carry Llama 3's scaling as divisors.
TEST(Rope, DividesFrequenciesByTheirFactors) {
  RopeConfig config;
  config.freq_factors = {1.0f, 2.0f, 8.0f, 32.0f};
  const auto scaled = MakeRopeFrequencies(config, 8);
  ASSERT_TRUE(scaled.ok());
  const auto plain = MakeRopeFrequencies(RopeConfig{}, 8);
  ASSERT_TRUE(plain.ok());
  for (int i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(scaled->radians_per_position[i],
                    plain->radians_per_position[i] / config.freq_factors[i]);
  }
}

TEST(Rope, TakesFrequenciesFromThePartThatRotates) {
  RopeConfig config;
  config.rotary_dim = 16;
  const auto partial = MakeRopeFrequencies(config, 64);
  ASSERT_TRUE(partial.ok());
  const auto whole = MakeRopeFrequencies(RopeConfig{}, 16);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(partial->radians_per_position, whole->radians_per_position);
}

TEST(Rope, SlidingLayersUseTheirUnscaledLocalBase) {
  RopeConfig config;
  config.base = 1e6;
  config.local_base = 10000;
  config.scaling = RopeScaling::kLinear;
  config.factor = 8;
  config.pairs = RopePairs::kNeighbours;
  const auto tables = MakeRopeTables(config, 8, 4);
  ASSERT_TRUE(tables.ok());
  EXPECT_EQ(&tables->ForLayer(true), &tables->local);
  EXPECT_EQ(&tables->ForLayer(false), &tables->full);
  EXPECT_EQ(tables->local.pairs, RopePairs::kNeighbours);
  EXPECT_NEAR(tables->local.cos[4], std::cos(1.0), 1e-6);  // position 1, pair 0
  EXPECT_NEAR(tables->local.cos[5], std::cos(0.1), 1e-6);
  EXPECT_NEAR(tables->full.cos[4], std::cos(1.0 / 8), 1e-6);
}

TEST(Rope, SlidingLayersShareTheTableWithoutALocalBase) {
  const auto tables = MakeRopeTables({}, 8, 4);
  ASSERT_TRUE(tables.ok());
  EXPECT_EQ(&tables->ForLayer(true), &tables->full);
}

TEST(Rope, RefusesWhatAMalformedModelSays) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, std::function<void(RopeConfig&)>>> cases = {
      {"rotary_dim", [](RopeConfig& config) { config.rotary_dim = 7; }},
      {"rotary_dim", [](RopeConfig& config) { config.rotary_dim = 10; }},
      {"base", [](RopeConfig& config) { config.base = 0; }},
      {"base", [=](RopeConfig& config) { config.base = nan; }},
      {"local_base", [](RopeConfig& config) { config.local_base = -5; }},
      {"freq_factors",
       [](RopeConfig& config) {
         config.freq_factors = {1, 2};
       }},
      {"freq_factors",
       [](RopeConfig& config) {
         config.freq_factors = {1, 2, 0, 1};
       }},
      {"factor", [](RopeConfig& config) { config.factor = 0; }},
      {"original_max_position", [](RopeConfig& config) { config.original_max_position = 0; }},
      {"high_freq_factor",
       [](RopeConfig& config) {
         config.scaling = RopeScaling::kLlama3;
         config.high_freq_factor = 1;
       }},
      {"beta", [](RopeConfig& config) { config.beta_slow = 0; }},
  };
  for (const auto& [field, spoil] : cases) {
    RopeConfig config;
    config.scaling = RopeScaling::kYarn;
    config.factor = 2;
    config.original_max_position = 64;
    ASSERT_TRUE(MakeRopeFrequencies(config, 8).ok());
    spoil(config);
    const auto frequencies = MakeRopeFrequencies(config, 8);
    EXPECT_EQ(frequencies.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(frequencies.status().message(), HasSubstr(field));
  }
}

}  // namespace
}  // namespace tandem
