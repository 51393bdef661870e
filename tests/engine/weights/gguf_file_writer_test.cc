#include "engine/weights/gguf_file_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "engine/weights/gguf_file.h"
#include "tests/testing/gguf_writer.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  return names;
}

class GgufFileWriterTest : public testing::Test {
 protected:
  std::string path() const { return folder_.path() + "/out.gguf"; }

  absl::StatusOr<std::unique_ptr<GgufFileWriter>> Create(const GgufHeader& header,
                                                         bool replace = false) {
    return GgufFileWriter::Create(path(), header, replace);
  }
  // Two tensors, of which the first needs padding.
  static GgufHeader TwoTensors() {
    GgufHeader header;
    header.tensors = {{.name = "a", .shape = {3}}, {.name = "b", .shape = {2, 4}}};
    return header;
  }

  TempFolder folder_;
};

TEST_F(GgufFileWriterTest, WritesWhatTheReaderReads) {
  GgufWriter source;  // the tests' own writer gives values of every kind
  source.AddString("general.architecture", "llama");
  source.AddBool("yes", true);
  source.AddFloat("half", 0.5f);
  source.AddStrings("words", {"one", "", "three"});
  source.AddBools("bits", {true, false});
  source.AddFloats("unused", {1}, {0});
  const auto input = GgufFile::Open(folder_.Write("in.gguf", source.Build()));
  ASSERT_TRUE(input.ok()) << input.status();

  GgufHeader header = TwoTensors();
  header.values = input->values();
  const auto writer = Create(header);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  ASSERT_TRUE((*writer)->Append(bytes).ok());
  const std::vector<uint8_t> part(16, 77);
  ASSERT_TRUE((*writer)->Append(part).ok());
  ASSERT_TRUE((*writer)->Append(part).ok());
  ASSERT_TRUE((*writer)->Commit().ok());

  EXPECT_EQ(std::filesystem::file_size(path()), (*writer)->file_bytes());
  const auto output = GgufFile::Open(path());
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->metadata().values, input->metadata().values);
  const StoredTensor& a = output->tensors().at("a");
  EXPECT_THAT(a.shape, ElementsAre(3));
  EXPECT_EQ(std::vector<uint8_t>(a.data, a.data + a.bytes), bytes);
  const StoredTensor& b = output->tensors().at("b");
  EXPECT_THAT(b.shape, ElementsAre(2, 4));
  EXPECT_EQ(std::vector<uint8_t>(b.data, b.data + b.bytes), std::vector<uint8_t>(32, 77));
}

TEST_F(GgufFileWriterTest, AlignsAsTheHeaderSays) {
  GgufHeader header = TwoTensors();
  header.alignment = 128;
  const uint32_t alignment = 128;
  header.values = {{.key = "general.alignment",
                    .type = GgufType::kUint32,
                    .bytes = {reinterpret_cast<const uint8_t*>(&alignment), sizeof(alignment)}}};
  const auto writer = Create(header);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append(std::vector<uint8_t>(12, 1)).ok());
  ASSERT_TRUE((*writer)->Append(std::vector<uint8_t>(32, 2)).ok());
  ASSERT_TRUE((*writer)->Commit().ok());
  const auto output = GgufFile::Open(path());
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->tensors().at("b").data - output->tensors().at("a").data, 128);
}

TEST_F(GgufFileWriterTest, LeavesNothingBehindWhenItIsNotCommitted) {
  {
    const auto writer = Create(TwoTensors());
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append(std::vector<uint8_t>(12, 1)).ok());
    EXPECT_FALSE(std::filesystem::exists(path()));
  }
  EXPECT_THAT(FilesIn(folder_.path()), ElementsAre());
}

TEST_F(GgufFileWriterTest, ReplacesAFileOnlyWhenAsked) {
  folder_.Write("out.gguf", "old");
  EXPECT_EQ(Create(TwoTensors()).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(std::filesystem::file_size(path()), 3u);
  const auto writer = Create({}, /*replace=*/true);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Commit().ok());
  EXPECT_GT(std::filesystem::file_size(path()), 3u);
  EXPECT_THAT(FilesIn(folder_.path()), ElementsAre("out.gguf"));
}

TEST_F(GgufFileWriterTest, NamesAFileThatCannotBe) {
  const std::string path = folder_.path() + "/missing/out.gguf";
  const absl::Status status = GgufFileWriter::Create(path, {}, false).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  EXPECT_EQ(GgufFileWriter::Create(folder_.path(), {}, true).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
