// Packing a whole model, and reading it back from the cache of packed weights.
#include "engine/weights/pack_model.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/weights/packed_cache.h"
#include "gtest/gtest.h"
#include "tests/engine/kernels/random_tensors.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A model of one layer whose matrices are random; head and layer are packed, the embedding is not.
struct RandomModel {
  RandomMatrix q{DType::kQ4_1, 32, 64, 1}, down{DType::kQ6_K, 20, 256, 2};
  RandomMatrix head{DType::kQ8_0, 48, 64, 3};
  Model model;

  RandomModel() {
    model.content_hash = 7;
    model.weights.layers.resize(1);
    model.weights.layers[0].q = q.view;
    model.weights.layers[0].down = down.view;
    model.weights.embedding = model.weights.head = head.view;
  }
};

std::string PackedBytesOf(const Ops& ops, const MatrixView& w) {
  return std::string(reinterpret_cast<const char*>(w.packed), ops.PackedBytes(w));
}

class PackModelTest : public testing::Test {
 protected:
  // Packs a fresh model; whether that took reading its weights.
  bool PacksAnew(const std::string& part = "") {
    RandomModel random;
    bool packed = false;
    const absl::Status status =
        PackModel(*ops_, random.model,
                  {.cache_folder = folder_.path() + "/packed",
                   .part = part,
                   .progress = [&](int64_t done, int64_t all) { packed = true; }});
    EXPECT_TRUE(status.ok()) << status;
    const LayerWeights& layer = random.model.weights.layers[0];
    const MatrixView& head = random.model.weights.head;
    for (const MatrixView* w : {&layer.q, &layer.down, &head}) {
      EXPECT_NE(w->packed, nullptr);
      bytes_.push_back(PackedBytesOf(*ops_, *w) + absl::StrCat(" unit ", w->packed_unit));
    }
    EXPECT_EQ(random.model.weights.embedding.packed, nullptr);
    return packed;
  }

  std::string TheFile() {
    const fs::directory_iterator files(folder_.path() + "/packed");
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
    return fs::directory_iterator(folder_.path() + "/packed")->path();
  }

  TempFolder folder_;
  std::unique_ptr<Ops> ops_ = *Ops::Create({});
  std::vector<std::string> bytes_;  // of every matrix of every model packed
};

TEST_F(PackModelTest, ReadsFromTheCacheWhatItPackedBefore) {
  EXPECT_TRUE(PacksAnew());
  EXPECT_FALSE(PacksAnew());
  ASSERT_EQ(bytes_.size(), 6u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(bytes_[i], bytes_[3 + i]);
}

TEST_F(PackModelTest, KeepsPartsOfAModelApart) {
  EXPECT_TRUE(PacksAnew("rank 0 of 2"));
  EXPECT_TRUE(PacksAnew("rank 1 of 2"));
  EXPECT_FALSE(PacksAnew("rank 0 of 2"));
}

TEST_F(PackModelTest, PacksAnewWhereTheFileIsDamagedOrCut) {
  EXPECT_TRUE(PacksAnew());
  const auto size = static_cast<int64_t>(fs::file_size(TheFile()));
  for (const int64_t at : {int64_t{3}, int64_t{12}, size / 2, size - 1}) {
    std::fstream file(TheFile(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 1));
    file.close();
    EXPECT_TRUE(PacksAnew()) << "byte " << at << " of " << size;
    EXPECT_FALSE(PacksAnew());
  }
  fs::resize_file(TheFile(), size - 1);
  EXPECT_TRUE(PacksAnew());
}

TEST_F(PackModelTest, DoesWithoutACacheThatCannotBeWritten) {
  std::ofstream(folder_.path() + "/packed") << "a file where the folder should be";
  EXPECT_TRUE(PacksAnew());
  EXPECT_TRUE(PacksAnew());
}

TEST_F(PackModelTest, KeepsTheFilesUsedLast) {
  const std::string folder = folder_.path() + "/few";
  const PackedCache cache(folder);
  std::string data = "some packed bytes";
  const PackedWeights weights = {.bytes = {reinterpret_cast<uint8_t*>(data.data()), data.size()},
                                 .units = {1.0f}};
  PackedWeights loaded = weights;
  const auto age = [&](int key, int hours) {
    fs::last_write_time(absl::StrCat(folder, "/", absl::Hex(key, absl::kZeroPad16), ".packed"),
                        fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  for (int key = 0; key < PackedCache::kMaxFiles; ++key) {
    ASSERT_TRUE(cache.Store(key, weights).ok());
    age(key, 100 - key);
  }
  EXPECT_TRUE(cache.Load(0, loaded)) << "the oldest is used again";
  ASSERT_TRUE(cache.Store(99, weights).ok());
  EXPECT_TRUE(cache.Load(0, loaded));
  EXPECT_FALSE(cache.Load(1, loaded)) << "now the oldest";
  EXPECT_TRUE(cache.Load(2, loaded));
  EXPECT_TRUE(cache.Load(99, loaded));
}

}  // namespace
}  // namespace tandem
