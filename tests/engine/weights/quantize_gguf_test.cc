#include "engine/weights/quantize_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/cpu/dequantize.h"
#include "engine/tensor/float16.h"
#include "engine/weights/gguf_file.h"
#include "engine/weights/model_weights.h"
#include "tests/engine/weights/expect_error.h"
#include "tests/testing/gguf_writer.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_gguf.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> Sample(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

std::string HalfBytes(const std::vector<float>& values, uint16_t (*convert)(float)) {
  std::string bytes;
  for (float value : values) bytes += GgufWriter::Bytes(convert(value));
  return bytes;
}

class QuantizeGgufTest : public testing::Test {
 protected:
  absl::StatusOr<QuantizeSummary> Quantize(const GgufWriter& input, DType dtype = DType::kQ8_0) {
    return QuantizeGguf({.input = folder_.Write("in.gguf", input.Build()),
                         .output = output_,
                         .dtype = dtype,
                         .replace = true},
                        [](int, int) {});
  }
  // The output, which must be sound.
  GgufFile Output(const GgufWriter& input, DType dtype = DType::kQ8_0) {
    const auto summary = Quantize(input, dtype);
    EXPECT_TRUE(summary.ok()) << summary.status();
    auto file = GgufFile::Open(output_);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  DType TypeOf(const GgufFile& file, absl::string_view name) {
    return *file.tensors().find(name)->second.dtype;
  }

  const TempFolder folder_;
  const std::string output_ = folder_.path() + "/out.gguf";
};

TEST_F(QuantizeGgufTest, RoundsMatricesAndLeavesTheRest) {
  GgufWriter writer;
  writer.AddFloats("blk.0.attn_q.weight", {64, 4}, Sample(256, 1));
  writer.AddFloats("blk.0.attn_norm.weight", {64}, Sample(64, 2));
  writer.AddFloats("blk.0.attn_q_norm.weight", {32, 2}, Sample(64, 3));
  writer.AddFloats("blk.0.ffn_gate_inp.weight", {32, 2}, Sample(64, 4));
  writer.AddFloats("blk.0.odd.weight", {40, 2}, Sample(80, 5));
  writer.AddFloats("blk.0.ffn_up_exps.weight", {32, 2, 3}, Sample(192, 6));
  const GgufFile file = Output(writer, DType::kQ4_0);
  EXPECT_EQ(TypeOf(file, "blk.0.attn_q.weight"), DType::kQ4_0);
  EXPECT_EQ(TypeOf(file, "blk.0.ffn_up_exps.weight"), DType::kQ4_0);
  for (const char* name : {"blk.0.attn_norm.weight", "blk.0.attn_q_norm.weight",
                           "blk.0.ffn_gate_inp.weight", "blk.0.odd.weight"}) {
    EXPECT_EQ(TypeOf(file, name), DType::kF32) << name;
  }
  const StoredTensor& odd = file.tensors().at("blk.0.odd.weight");
  const auto* values = reinterpret_cast<const float*>(odd.data);
  EXPECT_EQ(std::vector<float>(values, values + 80), Sample(80, 5));
}

TEST_F(QuantizeGgufTest, KeepsTheHeadInEightBits) {
  const GgufFile tied = Output(TinyGguf({.tied = true}), DType::kQ4_0);
  EXPECT_EQ(TypeOf(tied, "token_embd.weight"), DType::kQ8_0);
  const GgufFile untied = Output(TinyGguf({.tied = false}), DType::kQ4_0);
  EXPECT_EQ(TypeOf(untied, "token_embd.weight"), DType::kQ4_0);
  EXPECT_EQ(TypeOf(untied, "output.weight"), DType::kQ8_0);
  EXPECT_EQ(TypeOf(untied, "blk.1.ffn_down.weight"), DType::kQ4_0);
}

TEST_F(QuantizeGgufTest, ReadsEveryPlainType) {
  const std::vector<float> sample = Sample(64, 9);
  GgufWriter writer;
  writer.AddFloats("f32.weight", {32, 2}, sample);
  writer.AddTensor("f16.weight", GgufWriter::kF16, {32, 2}, HalfBytes(sample, HalfFromFloat));
  writer.AddTensor("bf16.weight", GgufWriter::kBF16, {32, 2}, HalfBytes(sample, BFloat16FromFloat));
  const GgufFile file = Output(writer);
  for (const char* name : {"f32.weight", "f16.weight", "bf16.weight"}) {
    const StoredTensor& tensor = file.tensors().at(name);
    ASSERT_EQ(*tensor.dtype, DType::kQ8_0) << name;
    for (int row = 0; row < 2; ++row) {
      const std::vector<float> values = DequantizeRow({tensor.data, DType::kQ8_0, 2, 32}, row);
      for (int i = 0; i < 32; ++i) EXPECT_NEAR(values[i], sample[row * 32 + i], 1e-3) << name;
    }
  }
}

TEST_F(QuantizeGgufTest, CopiesKeysAndSaysWhatItDid) {
  GgufWriter writer = TinyGguf();
  writer.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
  writer.AddUint32("general.file_type", 32);
  const GgufFile file = Output(writer);
  EXPECT_EQ(*file.metadata().GetInt("general.file_type"), 7);
  EXPECT_EQ(*file.metadata().GetInt("general.quantization_version"), 2);
  EXPECT_EQ(*file.metadata().GetString("general.name"), "Tiny");
  const auto all = file.DecodeAllMetadata();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all->FindStrings("tokenizer.ggml.tokens"), ElementsAre("a", "b"));
  EXPECT_EQ(*Output(writer, DType::kQ4_0).metadata().GetInt("general.file_type"), 2);
}

TEST_F(QuantizeGgufTest, WritesAModelThatLoads) {
  ASSERT_TRUE(Quantize(TinyGguf()).ok());
  const auto model = LoadModel(output_);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->weights.layers[1].gate.dtype, DType::kQ8_0);
}

TEST_F(QuantizeGgufTest, CountsWhatItDid) {
  const GgufWriter writer = TinyGguf();
  const auto summary = Quantize(writer);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->num_tensors, 20);
  EXPECT_EQ(summary->num_quantized, 15);
  EXPECT_EQ(summary->input_bytes, static_cast<int64_t>(writer.Build().size()));
  EXPECT_EQ(summary->output_bytes, static_cast<int64_t>(std::filesystem::file_size(output_)));
  EXPECT_LT(summary->output_bytes, summary->input_bytes / 2);
}

TEST_F(QuantizeGgufTest, RefusesWhatIsQuantisedAlready) {
  GgufWriter writer;
  writer.AddTensor("blk.0.attn_q.weight", GgufWriter::kQ8_0, {32, 1}, std::string(34, '\0'));
  ExpectMalformed(Quantize(writer).status(), "in.gguf",
                  {"blk.0.attn_q.weight", "quantised already", "Q8_0"});
  EXPECT_FALSE(std::filesystem::exists(output_));
}

TEST_F(QuantizeGgufTest, RefusesWeightsThatAreNotFinite) {
  std::vector<float> values = Sample(64, 1);
  values[50] = std::numeric_limits<float>::infinity();
  GgufWriter writer;
  writer.AddFloats("blk.0.attn_q.weight", {32, 2}, values);
  ExpectMalformed(Quantize(writer).status(), "in.gguf", {"blk.0.attn_q.weight", "not finite"});
  values[50] = 1e8f;
  GgufWriter large;
  large.AddFloats("blk.0.attn_q.weight", {32, 2}, values);
  ExpectMalformed(Quantize(large).status(), "in.gguf", {"blk.0.attn_q.weight", "range of Q8_0"});
  EXPECT_FALSE(std::filesystem::exists(output_));
}

TEST_F(QuantizeGgufTest, MayReplaceItsOwnInput) {
  const std::string path = folder_.Write("in.gguf", TinyGguf().Build());
  const auto summary = QuantizeGguf(
      {.input = path, .output = path, .dtype = DType::kQ8_0, .replace = true}, [](int, int) {});
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_TRUE(LoadModel(path).ok());
}

TEST_F(QuantizeGgufTest, TellsHowFarItIs) {
  std::vector<std::pair<int, int>> steps;
  ASSERT_TRUE(
      QuantizeGguf({.input = folder_.Write("in.gguf", TinyGguf().Build()), .output = output_},
                   [&](int done, int all) { steps.emplace_back(done, all); })
          .ok());
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.back().first, steps.back().second);
}

}  // namespace
}  // namespace tandem
