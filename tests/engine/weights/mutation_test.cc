// Thousands of damaged files: each either opens or gives an error of one line. Run under
// AddressSanitizer, this is what shows a read outside the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "engine/weights/model_weights.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_gguf.h"

namespace tandem {
namespace {

// Values that arithmetic on sizes goes wrong with.
constexpr uint64_t kNasty[] = {0,
                               1,
                               7,
                               0x7f,
                               0xff,
                               0x7fff,
                               0xffff,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               uint64_t{1} << 40,
                               ~uint64_t{0} >> 1,
                               uint64_t{1} << 63,
                               ~uint64_t{0}};

// One damage: a flipped bit, a nasty value over 1 to 8 bytes, bytes cut out or doubled, or the end
// cut off. Hits only the first `header_bytes`.
std::string Damage(std::string file, size_t header_bytes, std::mt19937& random) {
  const auto below = [&random](size_t limit) { return random() % limit; };
  const size_t at = below(std::min(header_bytes, file.size()));
  switch (below(5)) {
    case 0:
      file[at] ^= static_cast<char>(1 << below(8));
      break;
    case 1: {
      const uint64_t value = kNasty[below(std::size(kNasty))];
      const size_t width = std::min(size_t{1} << below(4), file.size() - at);
      std::memcpy(&file[at], &value, width);
      break;
    }
    case 2:
      file.erase(at, 1 + below(16));
      break;
    case 3:
      file.insert(at, file.substr(at, 1 + below(16)));
      break;
    case 4:
      file.resize(at);
      break;
  }
  return file;
}

// Reads every byte that the model's views reach, as kernels would.
uint64_t Touch(const Model& model) {
  uint64_t sum = 0;
  const auto add = [&sum](const MatrixView& view) {
    for (int64_t i = 0; i < view.Bytes(); ++i) sum += static_cast<const uint8_t*>(view.data)[i];
  };
  add(model.weights.embedding);
  add(model.weights.head);
  for (const LayerWeights& layer : model.weights.layers) {
    for (const MatrixView* view :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      add(*view);
    }
  }
  return sum;
}

// Opens `path` in every way. Returns whether the model opened.
bool OpenEveryWay(const std::string& path) {
  bool opened = false;
  const auto check = [&path](const absl::Status& status) {
    if (status.ok()) return;
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(path));
  };
  if (const auto model = LoadModel(path); model.ok()) {
    opened = true;
    EXPECT_GE(Touch(**model), 0u);
  } else {
    check(model.status());
  }
  check(LoadModelConfig(path).status());
  check(LoadTokenizerSource(path).status());
  return opened;
}

TEST(MutationTest, DamagedGgufOpensOrFailsWithOneLine) {
  GgufWriter writer = TinyGguf({.architecture = "gemma3", .qk_norm = true, .post_norms = true});
  writer.AddUint32("gemma3.attention.sliding_window", 16);
  writer.AddStrings("tokenizer.ggml.tokens", {"a", "bc", "def"});
  writer.AddFloats("rope_freqs.weight", {4}, {1, 1, 2, 8});
  const std::string sound = writer.Build();
  const size_t header_bytes = sound.size() - (writer.tensors.back().offset + 16);
  const TempFolder folder;
  std::mt19937 random(1);
  int num_opened = 0;
  for (int i = 0; i < 6000; ++i) {
    std::string file = Damage(sound, header_bytes, random);
    if (i % 3 == 0 && !file.empty()) file = Damage(file, header_bytes, random);
    num_opened += OpenEveryWay(folder.Write("model.gguf", file));
  }
  // Names, epsilons and the like may change without harm; most damage must be seen.
  EXPECT_GT(num_opened, 0);
  EXPECT_LT(num_opened, 3000);
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TEST(MutationTest, DamagedSafetensorsOpensOrFailsWithOneLine) {
  const std::string tiny = std::string(TANDEM_SOURCE_DIR) + "/tests/golden/tiny/qwen2";
  const std::string sound = ReadFile(tiny + "/model.safetensors");
  uint64_t header_bytes;
  std::memcpy(&header_bytes, sound.data(), sizeof(header_bytes));
  const TempFolder folder;
  folder.Write("config.json", ReadFile(tiny + "/config.json"));
  std::mt19937 random(2);
  int num_opened = 0;
  for (int i = 0; i < 600; ++i) {
    folder.Write("model.safetensors", Damage(sound, 8 + header_bytes, random));
    num_opened += OpenEveryWay(folder.path());
  }
  EXPECT_LT(num_opened, 300);
}

TEST(MutationTest, DamagedConfigOpensOrFailsWithOneLine) {
  const std::string tiny = std::string(TANDEM_SOURCE_DIR) + "/tests/golden/tiny/gemma3";
  const std::string sound = ReadFile(tiny + "/config.json");
  const TempFolder folder;
  folder.Write("model.safetensors", ReadFile(tiny + "/model.safetensors"));
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    folder.Write("config.json", Damage(sound, sound.size(), random));
    OpenEveryWay(folder.path());
  }
}

}  // namespace
}  // namespace tandem
