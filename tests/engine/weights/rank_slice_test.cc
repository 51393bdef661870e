#include "engine/weights/rank_slice.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kHeadDim = 16;
constexpr int kHidden = 64;

// A model whose every weight is its own row * 1000 + column.
class NumberedModel {
 public:
  NumberedModel(int num_heads, int num_kv_heads, int intermediate_size) {
    ModelConfig& config = model.config;
    config.vocab_size = 100;
    config.hidden_size = kHidden;
    config.intermediate_size = intermediate_size;
    config.num_layers = 4;
    config.num_heads = num_heads;
    config.num_kv_heads = num_kv_heads;
    config.head_dim = kHeadDim;
    model.weights.embedding = model.weights.head = Matrix(config.vocab_size, kHidden);
    model.weights.layers.resize(config.num_layers);
    for (LayerWeights& layer : model.weights.layers) {
      layer.q = Matrix(num_heads * kHeadDim, kHidden);
      layer.k = layer.v = Matrix(num_kv_heads * kHeadDim, kHidden);
      layer.o = Matrix(kHidden, num_heads * kHeadDim);
      layer.gate = layer.up = Matrix(intermediate_size, kHidden);
      layer.down = Matrix(kHidden, intermediate_size);
      for (int i = 0; i < num_kv_heads * kHeadDim; ++i) {
        layer.k_bias.push_back(static_cast<float>(i));
      }
    }
  }

  Model model;

 private:
  MatrixView Matrix(int rows, int cols) {
    auto values = std::make_shared<std::vector<float>>();
    for (int row = 0; row < rows; ++row) {
      for (int col = 0; col < cols; ++col) values->push_back(static_cast<float>(row * 1000 + col));
    }
    model.storage.push_back(values);
    return {values->data(), DType::kF32, rows, cols};
  }
};

float At(const MatrixView& w, int64_t row, int64_t col) {
  return reinterpret_cast<const float*>(w.Row(row))[col];
}

TEST(RankSliceTest, SlicesOfAllRanksAreTheWholeModel) {
  const NumberedModel whole(8, 4, 100);
  const ParallelShape shape = {.tp = 4, .pp = 2};
  int head = 0, layer = 0;
  int64_t column = 0, token = 0;
  for (int rank = 0; rank < 8; ++rank) {
    const RankSlice slice = *MakeRankSlice(whole.model, shape, rank);
    if (rank % 4 == 0) {
      EXPECT_EQ(slice.layer_begin, layer);
      layer = slice.layer_end;
      head = 0;
      column = 0;
    }
    EXPECT_EQ(slice.head_begin, head);
    head += slice.num_heads;
    EXPECT_THAT(slice.kv_heads, ElementsAre(rank % 4));
    EXPECT_EQ(slice.intermediate_begin, column);
    EXPECT_GT(slice.intermediate_end, column);
    column = slice.intermediate_end;
    if (rank < 4) {
      EXPECT_EQ(slice.vocab_begin, slice.vocab_end) << "the first stage has no head";
    } else {
      EXPECT_EQ(slice.vocab_begin, token);
      EXPECT_GT(slice.vocab_end, token);
      token = slice.vocab_end;
    }
    if (rank % 4 == 3) {
      EXPECT_EQ(head, 8);
      EXPECT_EQ(column, 100);
    }
  }
  EXPECT_EQ(layer, 4);
  EXPECT_EQ(token, 100);
}

TEST(RankSliceTest, KvHeadsAreRepeatedSoThatEachServesAsManyQueryHeads) {
  const auto kv_heads = [](int num_heads, int num_kv_heads, int tp) {
    const NumberedModel numbered(num_heads, num_kv_heads, 96);
    std::vector<std::vector<int>> heads;
    for (int rank = 0; rank < tp; ++rank) {
      heads.push_back(MakeRankSlice(numbered.model, {.tp = tp}, rank)->kv_heads);
    }
    return heads;
  };
  EXPECT_THAT(kv_heads(9, 3, 3), ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2)));
  EXPECT_THAT(kv_heads(4, 1, 2), ElementsAre(ElementsAre(0), ElementsAre(0)));
  EXPECT_THAT(kv_heads(4, 2, 4),
              ElementsAre(ElementsAre(0), ElementsAre(0), ElementsAre(1), ElementsAre(1)));
  EXPECT_THAT(kv_heads(12, 3, 2), ElementsAre(ElementsAre(0, 0, 1), ElementsAre(1, 2, 2)));
}

TEST(RankSliceTest, ASlicedModelHasTheRowsAndColumnsOfItsRank) {
  NumberedModel numbered(12, 3, 96);
  Model& model = numbered.model;
  const RankSlice slice = *MakeRankSlice(model, {.tp = 2, .pp = 2}, 3);
  SliceModel(slice, model);
  EXPECT_EQ(model.config.num_heads, 6);
  EXPECT_EQ(model.config.num_kv_heads, 3);
  EXPECT_EQ(model.config.intermediate_size, 48);
  EXPECT_FALSE(model.weights.layers[1].q) << "of the first stage";
  const LayerWeights& layer = model.weights.layers[2];
  EXPECT_EQ(layer.q.rows, 6 * kHeadDim);
  EXPECT_EQ(At(layer.q, 0, 5), 6 * kHeadDim * 1000 + 5);
  EXPECT_EQ(layer.k.rows, 3 * kHeadDim);
  EXPECT_EQ(At(layer.k, 0, 7), 1 * kHeadDim * 1000 + 7);
  EXPECT_EQ(At(layer.k, 2 * kHeadDim + 1, 7), (2 * kHeadDim + 1) * 1000 + 7);
  EXPECT_EQ(layer.k_bias[2 * kHeadDim], 2 * kHeadDim);
  EXPECT_EQ(layer.o.cols, 6 * kHeadDim);
  EXPECT_EQ(At(layer.o, 3, 2), 3000 + 6 * kHeadDim + 2);
  EXPECT_EQ(At(layer.up, 1, 0), 49 * 1000);
  EXPECT_EQ(layer.down.cols, 48);
  EXPECT_EQ(At(layer.down, 63, 47), 63 * 1000 + 95);
  EXPECT_EQ(model.weights.head.rows, 52);
  EXPECT_EQ(At(model.weights.head, 0, 0), 48 * 1000);
  EXPECT_EQ(model.weights.embedding.rows, 100);
}

TEST(RankSliceTest, QuantisedBlocksAreNotCut) {
  NumberedModel numbered(8, 8, 512);
  Model& model = numbered.model;
  model.weights.layers[1].down.dtype = DType::kQ6_K;
  const RankSlice slice = *MakeRankSlice(model, {.tp = 2}, 1);
  EXPECT_EQ(slice.intermediate_begin, 256);
  const absl::Status status = MakeRankSlice(model, {.tp = 4}, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "tensor-parallel-size 4 would cut an MLP of 512 columns in blocks of 256; these sizes "
            "work: 1, 2");
  model.weights.layers[3].o.dtype = DType::kQ4_0;
  EXPECT_TRUE(MakeRankSlice(model, {.tp = 2}, 1).ok());
  model.weights.layers[3].o.dtype = DType::kQ4_K;
  EXPECT_THAT(std::string(MakeRankSlice(model, {.tp = 2}, 1).status().message()),
              HasSubstr("256-column blocks of the attention output's Q4_K into 64 columns"));
}

TEST(RankSliceTest, NormsOverAllHeadsAllowNoTensorParallelism) {
  ModelConfig config = NumberedModel(4, 4, 64).model.config;
  config.architecture = "olmoe";
  config.qk_norm = QkNorm::kFullWidth;
  EXPECT_TRUE(CheckParallelShape(config, {.tp = 1, .pp = 2}).ok());
  EXPECT_THAT(std::string(CheckParallelShape(config, {.tp = 2}).message()), HasSubstr("olmoe"));
}

}  // namespace
}  // namespace tandem
