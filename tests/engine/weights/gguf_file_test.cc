// The GGUF format by itself: what is read, and every way in which a file can be broken.
#include "engine/weights/gguf_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/engine/weights/expect_error.h"
#include "tests/testing/gguf_writer.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kHuge = uint64_t{1} << 63;

class GgufFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<GgufFile> Open(absl::string_view contents) {
    path_ = folder_.Write("model.gguf", contents);
    return GgufFile::Open(path_);
  }
  absl::StatusOr<GgufFile> Open(const GgufWriter& writer) { return Open(writer.Build()); }
  void ExpectBroken(const GgufWriter& writer, std::initializer_list<std::string> parts) {
    ExpectMalformed(Open(writer).status(), path_, parts);
  }
  void ExpectBrokenArray(uint32_t type, uint64_t count, std::initializer_list<std::string> parts) {
    GgufWriter writer;
    writer.AddRaw("a.list", GgufWriter::kArrayValue, GgufWriter::ArrayHeader(type, count));
    ExpectBroken(writer, parts);
  }
  // One tensor "t" of 64 floats, changed by the test.
  GgufWriter OneTensor() {
    GgufWriter writer;
    writer.AddFloats("t", {32, 2}, std::vector<float>(64, 1.0f));
    return writer;
  }

  TempFolder folder_;
  std::string path_;
};

TEST_F(GgufFileTest, ReadsEveryValueType) {
  GgufWriter writer;
  writer.AddRaw("u8", 0, GgufWriter::Bytes(uint8_t{200}));
  writer.AddRaw("i8", 1, GgufWriter::Bytes(int8_t{-100}));
  writer.AddRaw("u16", 2, GgufWriter::Bytes(uint16_t{60000}));
  writer.AddRaw("i16", 3, GgufWriter::Bytes(int16_t{-30000}));
  writer.AddRaw("u32", 4, GgufWriter::Bytes(uint32_t{4000000000}));
  writer.AddRaw("i32", 5, GgufWriter::Bytes(int32_t{-2000000000}));
  writer.AddFloat("f32", 0.25f);
  writer.AddBool("yes", true);
  writer.AddString("text", "a\nb");
  writer.AddRaw("u64", 10, GgufWriter::Bytes(uint64_t{1} << 62));
  writer.AddRaw("i64", 11, GgufWriter::Bytes(std::numeric_limits<int64_t>::min()));
  writer.AddRaw("f64", 12, GgufWriter::Bytes(1e300));
  const auto file = Open(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  const Metadata& metadata = file->metadata();
  EXPECT_EQ(metadata.GetIntOr("u8", 0), 200);
  EXPECT_EQ(metadata.GetIntOr("i8", 0), -100);
  EXPECT_EQ(metadata.GetIntOr("u16", 0), 60000);
  EXPECT_EQ(metadata.GetIntOr("i16", 0), -30000);
  EXPECT_EQ(metadata.GetIntOr("u32", 0), 4000000000);
  EXPECT_EQ(metadata.GetIntOr("i32", 0), -2000000000);
  EXPECT_EQ(metadata.GetFloatOr("f32", 0), 0.25);
  EXPECT_TRUE(metadata.GetBoolOr("yes", false));
  EXPECT_EQ(metadata.GetStringOr("text", ""), "a\nb");
  EXPECT_EQ(metadata.GetIntOr("u64", 0), int64_t{1} << 62);
  EXPECT_EQ(metadata.GetIntOr("i64", 0), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(metadata.GetFloatOr("f64", 0), 1e300);
}

TEST_F(GgufFileTest, ReadsArraysEmptyOnesToo) {
  GgufWriter writer;
  writer.AddStrings("texts", {"one", "", "three"});
  writer.AddBools("flags", {true, false});
  writer.AddRaw("none", GgufWriter::kArrayValue,
                GgufWriter::ArrayHeader(GgufWriter::kInt32Value, 0));
  const auto file = Open(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(*file->metadata().FindStrings("texts"), ElementsAre("one", "", "three"));
  EXPECT_THAT(*file->metadata().FindBools("flags"), ElementsAre(true, false));
  EXPECT_TRUE(file->metadata().FindInts("none")->empty());
  EXPECT_EQ(file->ArraySize("texts"), 3u);
  EXPECT_EQ(file->ArraySize("absent"), 0u);
}

TEST_F(GgufFileTest, DecodesTokenizerKeysOnlyWhenAsked) {
  GgufWriter writer;
  writer.AddString("general.architecture", "llama");
  writer.AddStrings("tokenizer.ggml.tokens", {"a", "b"});
  const auto file = Open(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->metadata().Has("tokenizer.ggml.tokens"));
  EXPECT_EQ(file->ArraySize("tokenizer.ggml.tokens"), 2u);
  const auto all = file->DecodeAllMetadata();
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all->FindStrings("tokenizer.ggml.tokens"), ElementsAre("a", "b"));
  EXPECT_EQ(all->GetStringOr("general.architecture", ""), "llama");
}

TEST_F(GgufFileTest, PlacesTensorsWithOutermostDimensionFirst) {
  GgufWriter writer;
  writer.AddFloats("a", {3, 2}, {0, 1, 2, 3, 4, 5});
  writer.AddTensor("b", GgufWriter::kQ8_0, {32, 4}, std::string(4 * 34, 'x'));
  const auto file = Open(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  const StoredTensor& a = file->tensors().at("a");
  EXPECT_THAT(a.shape, ElementsAre(2, 3));
  EXPECT_EQ(a.bytes, 24);
  float last;
  std::memcpy(&last, a.data + 20, sizeof(last));
  EXPECT_EQ(last, 5.0f);
  const StoredTensor& b = file->tensors().at("b");
  EXPECT_EQ(b.dtype, DType::kQ8_0);
  EXPECT_EQ(b.bytes, 4 * 34);
  EXPECT_EQ(b.data[0], 'x');
}

TEST_F(GgufFileTest, ReadsVersion2AndOtherAlignments) {
  GgufWriter writer;
  writer.version = 2;
  writer.alignment = 64;
  writer.AddUint32("general.alignment", 64);
  writer.AddFloats("a", {1}, {7});
  writer.AddFloats("b", {1}, {8});
  const auto file = Open(writer);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().at("b").data - file->tensors().at("a").data, 64);
}

TEST_F(GgufFileTest, ReportsMissingFile) {
  ExpectError(GgufFile::Open("/no/such.gguf").status(), absl::StatusCode::kNotFound,
              "/no/such.gguf", {"No such file"});
}

TEST_F(GgufFileTest, ReportsFolderAndDevice) {
  ExpectMalformed(GgufFile::Open(folder_.path()).status(), folder_.path(), {"not a regular file"});
  ExpectMalformed(GgufFile::Open("/dev/null").status(), "/dev/null", {"not a regular file"});
}

TEST_F(GgufFileTest, ReportsEmptyFile) { ExpectMalformed(Open("").status(), path_, {"empty"}); }

TEST_F(GgufFileTest, ReportsWrongMagic) {
  GgufWriter writer;
  writer.magic = "GGML";
  ExpectBroken(writer, {"not a GGUF file"});
  ExpectMalformed(Open("G").status(), path_, {"not a GGUF file"});
}

TEST_F(GgufFileTest, PointsFromSafetensorsFileToItsFolder) {
  const std::string path = folder_.Write("model.safetensors", "anything");
  ExpectMalformed(GgufFile::Open(path).status(), path, {"give the folder"});
}

TEST_F(GgufFileTest, ReportsUnknownVersion) {
  GgufWriter writer;
  for (uint32_t version : {0u, 1u, 4u}) {
    writer.version = version;
    ExpectUnsupported(Open(writer).status(), path_, {"GGUF version " + std::to_string(version)});
  }
}

TEST_F(GgufFileTest, ReportsBigEndianFile) {
  GgufWriter writer;
  writer.version = 0x03000000;
  ExpectUnsupported(Open(writer).status(), path_, {"big-endian"});
}

TEST_F(GgufFileTest, ReportsEveryTruncationOfTheHeader) {
  GgufWriter writer;
  writer.AddString("general.architecture", "llama");
  writer.AddStrings("texts", {"one", "two"});
  writer.AddFloats("t", {4}, {1, 2, 3, 4});
  const std::string whole = writer.Build();
  ASSERT_TRUE(Open(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    const absl::Status status = Open(whole.substr(0, size)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size << ": " << status;
  }
}

TEST_F(GgufFileTest, ReportsCountsBeyondTheFile) {
  for (uint64_t count : {uint64_t{1000}, kHuge, ~uint64_t{0}}) {
    GgufWriter values;
    values.extra_values = count;
    ExpectBroken(values, {"header claims " + std::to_string(count) + " metadata entries"});
    GgufWriter tensors;
    tensors.extra_tensors = count;
    ExpectBroken(tensors, {"header claims " + std::to_string(count) + " tensors"});
  }
}

TEST_F(GgufFileTest, ReportsStringLengthBeyondTheFile) {
  for (uint64_t length : {uint64_t{100}, kHuge, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    GgufWriter value;
    value.AddRaw("text", GgufWriter::kStringValue, GgufWriter::Bytes(length));
    ExpectBroken(value, {"metadata key \"text\"", "beyond the file"});
    ExpectMalformed(Open("GGUF" + GgufWriter::Bytes(uint32_t{3}) + GgufWriter::Bytes(uint64_t{0}) +
                         GgufWriter::Bytes(uint64_t{1}) + GgufWriter::Bytes(length) + "12345")
                        .status(),
                    path_, {"metadata entry 0", "beyond the file"});
  }
}

TEST_F(GgufFileTest, ReportsArrayLengthBeyondTheFile) {
  for (uint64_t count : {uint64_t{1000}, kHuge, ~uint64_t{0}, ~uint64_t{0} / 4 + 1}) {
    for (uint32_t type :
         {GgufWriter::kUint8Value, GgufWriter::kInt32Value, GgufWriter::kFloat64Value,
          GgufWriter::kStringValue, GgufWriter::kBoolValue}) {
      ExpectBrokenArray(type, count, {"metadata key \"a.list\"", std::to_string(count)});
    }
  }
}

TEST_F(GgufFileTest, ReportsNestedArray) {
  ExpectBrokenArray(GgufWriter::kArrayValue, 1, {"a.list", "nested arrays"});
}

TEST_F(GgufFileTest, ReportsUnknownValueType) {
  GgufWriter writer;
  writer.AddRaw("odd", 13, "");
  ExpectBroken(writer, {"metadata key \"odd\"", "unknown value type 13"});
  ExpectBrokenArray(99, 1, {"a.list", "unknown value type 99"});
}

TEST_F(GgufFileTest, ReportsValueThatNoIntegerHolds) {
  GgufWriter writer;
  writer.AddRaw("big", GgufWriter::kUint64Value, GgufWriter::Bytes(kHuge));
  ExpectBroken(writer, {"\"big\"", "9223372036854775808 is out of range"});
}

TEST_F(GgufFileTest, ReportsBoolThatIsNeitherTrueNorFalse) {
  GgufWriter writer;
  writer.AddRaw("flag", GgufWriter::kBoolValue, "\2");
  ExpectBroken(writer, {"\"flag\"", "value 2 is out of range"});
}

TEST_F(GgufFileTest, ReportsDuplicateKey) {
  GgufWriter writer;
  writer.AddUint32("a.key", 1);
  writer.AddUint32("a.key", 1);
  ExpectBroken(writer, {"metadata key \"a.key\"", "twice"});
}

TEST_F(GgufFileTest, EscapesAndCutsNamesInMessages) {
  GgufWriter writer;
  writer.AddRaw("line\nbreak\x1b[31m" + std::string(5000, 'x'), 77, "");
  ExpectBroken(writer, {"line\\nbreak\\x1b[31m", "..."});
}

TEST_F(GgufFileTest, ReportsAlignmentThatIsNone) {
  for (uint32_t alignment : {0u, 1u, 4u, 24u, 33u}) {
    GgufWriter writer = OneTensor();
    writer.AddUint32("general.alignment", alignment);
    ExpectBroken(writer, {"general.alignment is " + std::to_string(alignment)});
  }
  GgufWriter text = OneTensor();
  text.AddString("general.alignment", "32");
  ExpectBroken(text, {"general.alignment"});
}

TEST_F(GgufFileTest, ReportsDuplicateTensor) {
  GgufWriter writer = OneTensor();
  writer.AddFloats("t", {1}, {1});
  ExpectBroken(writer, {"tensor \"t\"", "twice"});
}

TEST_F(GgufFileTest, ReportsUnknownTensorType) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].type = 4;  // was Q4_2, taken out of ggml
  ExpectBroken(writer, {"tensor \"t\"", "unknown tensor type 4"});
  writer.tensors[0].type = ~0u;
  ExpectBroken(writer, {"tensor \"t\"", "unknown tensor type 4294967295"});
}

TEST_F(GgufFileTest, NamesTypesThatAreSupportedInsteadOfIq4) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].type = 20;
  ExpectUnsupported(Open(writer).status(), path_, {"tensor \"t\"", "IQ4_NL", "Q4_K, Q5_K, Q6_K"});
}

TEST_F(GgufFileTest, ReportsDimensionCountOfNoneOrTooMany) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].dims = {};
  ExpectBroken(writer, {"tensor \"t\"", "0 dimensions"});
  writer.tensors[0].dims = {1, 1, 1, 1, 1};
  ExpectBroken(writer, {"tensor \"t\"", "5 dimensions"});
}

TEST_F(GgufFileTest, ReportsDimensionOfZeroOrBeyondInt64) {
  for (uint64_t dim : {uint64_t{0}, kHuge, ~uint64_t{0}}) {
    GgufWriter writer = OneTensor();
    writer.tensors[0].dims = {32, dim};
    ExpectBroken(writer, {"tensor \"t\"", "dimension 1 is " + std::to_string(dim)});
  }
}

TEST_F(GgufFileTest, ReportsShapeWhoseProductOverflows) {
  for (const std::vector<uint64_t>& dims :
       {std::vector<uint64_t>{uint64_t{1} << 32, uint64_t{1} << 32},
        std::vector<uint64_t>{kHuge - 1},
        std::vector<uint64_t>{1 << 16, 1 << 16, 1 << 16, 1 << 16}}) {
    GgufWriter writer = OneTensor();
    writer.tensors[0].dims = dims;
    ExpectBroken(writer, {"tensor \"t\"", "overflows"});
  }
}

TEST_F(GgufFileTest, ReportsQuantisedRowThatIsNoMultipleOfTheBlock) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].type = GgufWriter::kQ4_K;
  ExpectBroken(writer, {"tensor \"t\"", "row of 32", "Q4_K's block of 256"});
}

TEST_F(GgufFileTest, ReportsMisalignedOffset) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].offset = 4;
  ExpectBroken(writer, {"tensor \"t\"", "offset 4 is not a multiple of 32"});
}

TEST_F(GgufFileTest, ReportsOffsetBeyondTheFile) {
  for (uint64_t offset : {uint64_t{32}, uint64_t{1} << 40, kHuge, ~uint64_t{31}}) {
    GgufWriter writer = OneTensor();
    writer.tensors[0].offset = offset;
    ExpectBroken(writer, {"tensor \"t\"", "beyond the file"});
  }
}

TEST_F(GgufFileTest, ReportsTensorLongerThanTheFile) {
  GgufWriter writer = OneTensor();
  writer.tensors[0].dims = {32, 1000000};
  ExpectBroken(writer, {"tensor \"t\"", "128000000 bytes", "beyond the file"});
}

TEST_F(GgufFileTest, ReportsOverlappingTensors) {
  GgufWriter writer = OneTensor();
  writer.AddFloats("u", {8}, std::vector<float>(8));
  writer.tensors[1].offset = 32;
  ExpectBroken(writer, {"tensor \"u\"", "overlaps tensor \"t\""});
}

}  // namespace
}  // namespace tandem
