// The safetensors format by itself, single files and shards, sound and broken.
#include "engine/weights/safetensors_file.h"

#include <gtest/gtest.h>

#include "tests/engine/weights/expect_error.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

class SafetensorsFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<SafetensorsModel> Open(absl::string_view contents) {
    path_ = folder_.Write("model.safetensors", contents);
    return OpenSafetensors(path_);
  }
  void ExpectBroken(absl::string_view contents, std::initializer_list<std::string> parts) {
    ExpectMalformed(Open(contents).status(), path_, parts);
  }
  // One tensor "t", [2, 3] of F32, one field of which the test replaces.
  void ExpectBrokenEntry(const std::string& field, const json& value,
                         std::initializer_list<std::string> parts) {
    SafetensorsWriter writer;
    writer.Add("t", "F32", {2, 3}, std::string(24, 'x'));
    writer.directory["t"][field] = value;
    ExpectBroken(writer.Build(), parts);
  }
  void ExpectBrokenHeader(const std::string& header, std::initializer_list<std::string> parts) {
    ExpectBroken(SafetensorsFile(header.size(), header, "12345678"), parts);
  }
  absl::StatusOr<SafetensorsModel> OpenIndex(const json& index) {
    path_ = folder_.Write("model.safetensors.index.json", index.dump());
    return OpenShardedSafetensors(path_);
  }

  TempFolder folder_;
  std::string path_;
};

TEST_F(SafetensorsFileTest, ReadsTensors) {
  SafetensorsWriter writer;
  writer.directory["__metadata__"] = {{"format", "pt"}};
  writer.Add("a", "BF16", {2, 3}, "abcdefghijkl");
  writer.Add("b", "F32", {1}, "wxyz");
  const auto model = Open(writer.Build());
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->tensors.size(), 2u);
  const StoredTensor& a = model->tensors.at("a");
  EXPECT_EQ(a.dtype, DType::kBF16);
  EXPECT_THAT(a.shape, ElementsAre(2, 3));
  EXPECT_EQ(absl::string_view(reinterpret_cast<const char*>(a.data), a.bytes), "abcdefghijkl");
  EXPECT_EQ(*model->tensors.at("b").data, 'w');
}

TEST_F(SafetensorsFileTest, KeepsTypesThatNoWeightIsReadFromWithoutDType) {
  SafetensorsWriter writer;
  writer.Add("position_ids", "I64", {1}, "12345678");
  writer.Add("scalar", "F64", {}, "12345678");
  writer.Add("empty", "F32", {0, 4}, "");
  const auto model = Open(writer.Build());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE(model->tensors.at("position_ids").dtype.has_value());
  EXPECT_EQ(model->tensors.at("position_ids").type_name, "I64");
  EXPECT_EQ(model->tensors.at("scalar").bytes, 8);
  EXPECT_EQ(model->tensors.at("empty").bytes, 0);
}

TEST_F(SafetensorsFileTest, ReportsEveryTruncation) {
  SafetensorsWriter writer;
  writer.Add("a", "F32", {2}, "12345678");
  const std::string whole = writer.Build();
  for (size_t size = 0; size < whole.size(); ++size) {
    const absl::Status status = Open(whole.substr(0, size)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size << ": " << status;
  }
}

TEST_F(SafetensorsFileTest, ReportsHeaderLongerThanTheFile) {
  for (uint64_t length : {uint64_t{3}, uint64_t{1} << 63, ~uint64_t{0}}) {
    ExpectBroken(SafetensorsFile(length, "{}", ""), {"header of " + std::to_string(length)});
  }
}

TEST_F(SafetensorsFileTest, ReportsHeaderThatIsNoJsonObject) {
  ExpectBrokenHeader("", {"header", "not valid JSON"});
  ExpectBrokenHeader("{\"a\"", {"header", "not valid JSON at byte 5"});
  ExpectBrokenHeader("{\"a\": 1e999}", {"header", "not valid JSON"});
  ExpectBrokenHeader("\xff\xfe\n\n", {"header", "not valid JSON"});
  ExpectBrokenHeader("[]", {"not a JSON object"});
  ExpectBrokenHeader("3", {"not a JSON object"});
}

TEST_F(SafetensorsFileTest, ReportsJsonNestedToExhaustTheStack) {
  ExpectBrokenHeader("{\"a\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}",
                     {"nested deeper"});
}

TEST_F(SafetensorsFileTest, ReportsDuplicateTensor) {
  const std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  ExpectBrokenHeader("{\"t\":" + entry + ",\"t\":" + entry + "}", {"\"t\" occurs twice"});
}

TEST_F(SafetensorsFileTest, ReportsEntryThatIsNoObject) {
  ExpectBrokenHeader("{\"t\": 5}", {"tensor \"t\"", "not a JSON object"});
}

TEST_F(SafetensorsFileTest, ReportsWrongType) {
  ExpectBrokenEntry("dtype", "Q4", {"tensor \"t\"", "unknown dtype \"Q4\""});
  ExpectBrokenEntry("dtype", 7, {"tensor \"t\"", "dtype"});
  ExpectBrokenEntry("dtype", nullptr, {"tensor \"t\"", "dtype"});
}

TEST_F(SafetensorsFileTest, ReportsShapeThatIsNone) {
  ExpectBrokenEntry("shape", "2x3", {"tensor \"t\"", "shape"});
  ExpectBrokenEntry("shape", {2, -3}, {"tensor \"t\"", "shape"});
  ExpectBrokenEntry("shape", {2, 3.0}, {"tensor \"t\"", "shape"});
  ExpectBrokenEntry("shape", {2, ~uint64_t{0}}, {"tensor \"t\"", "shape"});
  ExpectBrokenEntry("shape", std::vector<int>(100000, 1), {"tensor \"t\"", "shape"});
}

TEST_F(SafetensorsFileTest, ReportsShapeWhoseProductOverflows) {
  ExpectBrokenEntry("shape", {int64_t{1} << 32, int64_t{1} << 32}, {"tensor \"t\"", "64 bits"});
}

TEST_F(SafetensorsFileTest, ReportsOffsetsThatDoNotMatchTheShape) {
  ExpectBrokenEntry("shape", {2, 2}, {"tensor \"t\"", "24 bytes", "[2, 2] of F32 needs 16"});
  ExpectBrokenEntry("data_offsets", {0, 20}, {"tensor \"t\"", "20 bytes", "needs 24"});
}

TEST_F(SafetensorsFileTest, ReportsOffsetsBeyondTheFile) {
  ExpectBrokenEntry("data_offsets", {8, 32}, {"tensor \"t\"", "ends at byte 32 of 24"});
  ExpectBrokenEntry("data_offsets", {0, ~uint64_t{0} >> 1}, {"tensor \"t\"", "of 24"});
}

TEST_F(SafetensorsFileTest, ReportsOffsetsThatAreNoRange) {
  ExpectBrokenEntry("data_offsets", {24, 0}, {"tensor \"t\"", "[begin, end]"});
  ExpectBrokenEntry("data_offsets", json::array({24}), {"tensor \"t\"", "[begin, end]"});
  ExpectBrokenEntry("data_offsets", {-24, 0}, {"tensor \"t\"", "[begin, end]"});
}

TEST_F(SafetensorsFileTest, ReportsOverlappingTensors) {
  SafetensorsWriter writer;
  writer.Add("t", "F32", {2}, "12345678");
  writer.Add("u", "F32", {2}, "12345678");
  writer.directory["u"]["data_offsets"] = {4, 12};
  ExpectBroken(writer.Build(), {"tensor \"u\": overlaps tensor \"t\""});
}

TEST_F(SafetensorsFileTest, JoinsShards) {
  SafetensorsWriter first, second;
  first.Add("a", "F32", {1}, "1111");
  second.Add("b", "F32", {1}, "2222");
  folder_.Write("one.safetensors", first.Build());
  folder_.Write("two.safetensors", second.Build());
  const auto model =
      OpenIndex({{"metadata", {{"total_size", 8}}},
                 {"weight_map", {{"a", "one.safetensors"}, {"b", "two.safetensors"}}}});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->maps.size(), 2u);
  EXPECT_EQ(*model->tensors.at("a").data, '1');
  EXPECT_EQ(model->tensors.at("b").file, folder_.path() + "/two.safetensors");
}

TEST_F(SafetensorsFileTest, ReportsMissingShard) {
  const auto model = OpenIndex({{"weight_map", {{"a", "gone.safetensors"}}}});
  ExpectError(model.status(), absl::StatusCode::kNotFound, path_, {"gone.safetensors"});
}

TEST_F(SafetensorsFileTest, ReportsShardOutsideTheFolder) {
  for (const std::string& shard : {std::string("../model.safetensors"), std::string("/etc/passwd"),
                                   std::string(".."), std::string("."), std::string(),
                                   std::string("sub/x.safetensors"), std::string("a\0b", 3)}) {
    ExpectMalformed(OpenIndex({{"weight_map", {{"a", shard}}}}).status(), path_,
                    {"tensor \"a\"", "not a plain file name"});
  }
}

TEST_F(SafetensorsFileTest, ReportsTensorThatItsShardLacks) {
  SafetensorsWriter shard;
  shard.Add("a", "F32", {1}, "1111");
  folder_.Write("one.safetensors", shard.Build());
  ExpectMalformed(OpenIndex({{"weight_map", {{"b", "one.safetensors"}}}}).status(), path_,
                  {"tensor \"b\"", "\"one.safetensors\" lacks it"});
}

TEST_F(SafetensorsFileTest, ReportsIndexThatIsNone) {
  ExpectMalformed(OpenIndex(json::array()).status(), path_, {"not a JSON object"});
  ExpectMalformed(OpenIndex({{"weight_map", 3}}).status(), path_, {"weight_map"});
  ExpectMalformed(OpenIndex({{"weight_map", {{"a", 3}}}}).status(), path_, {"tensor \"a\""});
}

TEST_F(SafetensorsFileTest, NamesTheBrokenShard) {
  folder_.Write("one.safetensors", "short");
  ExpectMalformed(OpenIndex({{"weight_map", {{"a", "one.safetensors"}}}}).status(), path_,
                  {"/one.safetensors: the file ends in its header"});
}

}  // namespace
}  // namespace tandem
