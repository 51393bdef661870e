#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "scheduler/replay/append_json.h"
#include "scheduler/replay/read_json.h"

namespace tandem {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::string Written(const T& value) {
  std::string out;
  AppendJson(value, &out);
  return out;
}

// The value that is read where `value` was written.
template <typename T>
T Again(const T& value) {
  T read{};
  EXPECT_TRUE(ReadJson(json::parse(Written(value)), &read)) << Written(value);
  return read;
}

TEST(JsonTest, NumbersAreReadAsTheyWereWritten) {
  EXPECT_EQ(Again(std::numeric_limits<uint64_t>::max()), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(Again(std::numeric_limits<int64_t>::min()), std::numeric_limits<int64_t>::min());
  for (const double value : {0.1, 1.0 / 3, 1e300, 5e-324, 1e22, -2.5, 9007199254740993.0}) {
    EXPECT_EQ(Again(value), value);
  }
  EXPECT_EQ(Again(0.7f), 0.7f);
  EXPECT_TRUE(std::signbit(Again(-0.0)));
  EXPECT_TRUE(std::isnan(Again(std::nan(""))));
  EXPECT_EQ(Again(-std::numeric_limits<double>::infinity()),
            -std::numeric_limits<double>::infinity());
}

TEST(JsonTest, TimesAreReadAsTheyWereWrittenDownToAQuarterOfANanosecond) {
  const absl::Time now = absl::FromUnixNanos(1732617254123456789);
  EXPECT_EQ(Written(now), "1732617254123456789");
  EXPECT_EQ(Again(now), now);
  const absl::Time between = now + absl::Nanoseconds(1) / 4;
  EXPECT_EQ(Again(between), between);
  EXPECT_EQ(Again(-absl::Nanoseconds(3) / 4), -absl::Nanoseconds(3) / 4);
  EXPECT_EQ(Again(absl::InfiniteFuture()), absl::InfiniteFuture());
  EXPECT_EQ(Again(-absl::InfiniteDuration()), -absl::InfiniteDuration());
  EXPECT_EQ(Again(absl::Hours(24 * 365 * 400)), absl::Hours(24 * 365 * 400));
}

TEST(JsonTest, TextIsReadAsItWasWritten) {
  const std::string text = "a \"quoted\" \\ line\n\twith ünïcode";
  EXPECT_EQ(Again(text), text);
  EXPECT_EQ(Again(InstanceId("prefill-0")), InstanceId("prefill-0"));
}

TEST(JsonTest, StatusKeepsCodeAndMessage) {
  EXPECT_EQ(Again(absl::ResourceExhaustedError("full")), absl::ResourceExhaustedError("full"));
  EXPECT_EQ(Written(absl::InternalError("dead step")), R"(["INTERNAL","dead step"])");
}

TEST(JsonTest, StructHoldsOnlyWhatDiffersFromItsDefault) {
  Request request;
  EXPECT_EQ(Written(request.sampling), "{}");
  request.id = RequestId(7);
  request.prompt = {1, 2, 3};
  request.sampling.stop_token_ids = {9};
  request.sampling.logit_bias = {{4, -1.5f}};
  request.arrival = absl::FromUnixMicros(5);
  request.hand_off = true;
  EXPECT_EQ(Written(request),
            R"({"id":7,"prompt":[1,2,3],"sampling":{"logit_bias":[[4,-1.5]],"stop_token_ids":[9]},)"
            R"("arrival":5000,"hand_off":true})");
  EXPECT_TRUE(IsSame(Again(request), request));
}

TEST(JsonTest, ChangedFieldsCompleteTheBase) {
  InstanceView base;
  base.address = "host:1";
  base.layout = {.num_layers = 2, .num_kv_heads = 2, .head_dim = 8, .dtype = DType::kBF16};
  InstanceView view = base;
  view.role = InstanceRole::kDecode;
  view.latency.coefficients.decode.base_ms = 0.3;
  std::string changed;
  AppendChangedFields(view, base, &changed);
  EXPECT_EQ(changed, R"({"role":"decode","latency":{"coefficients":{"decode":{"base_ms":0.3}}}})");
  InstanceView read = base;
  EXPECT_TRUE(ReadFields(json::parse(changed), &read));
  EXPECT_TRUE(IsSame(read, view));
}

TEST(JsonTest, NeighboursAreWrittenAsRuns) {
  const std::vector<int> blocks = {4, 5, 6, 12, 3, 8, 9};
  std::string out;
  AppendRuns(absl::MakeConstSpan(blocks), &out);
  EXPECT_EQ(out, R"("4-6,12,3,8-9")");
  std::vector<int> read;
  EXPECT_TRUE(ReadRuns(json::parse(out), &read));
  EXPECT_EQ(read, blocks);
  EXPECT_FALSE(ReadRuns(json("5-3"), &read));
  EXPECT_FALSE(ReadRuns(json("0-4000000000"), &read));
}

TEST(JsonTest, ValueOfAnotherKindIsRefused) {
  int number = 0;
  EXPECT_FALSE(ReadJson(json(1LL << 40), &number));
  EXPECT_FALSE(ReadJson(json(1.5), &number));
  uint32_t attempt = 0;
  EXPECT_FALSE(ReadJson(json(-1), &attempt));
  InstanceRole role;
  EXPECT_FALSE(ReadJson(json("pre"), &role));
  absl::Duration duration;
  EXPECT_FALSE(ReadJson(json("soon"), &duration));
}

TEST(CallReaderTest, NamesTheFirstFieldThatIsMissingOrOfAnotherKind) {
  const json call = json::parse(R"({"now":5,"id":"seven"})");
  CallReader fields(call);
  EXPECT_EQ(fields.Get<absl::Time>("now"), absl::FromUnixNanos(5));
  EXPECT_TRUE(fields.status().ok());
  EXPECT_EQ(fields.Get<RequestId>("id"), RequestId());
  fields.Get<int>("attempt");
  EXPECT_EQ(fields.status().message(), "field \"id\" cannot be \"seven\"");
  CallReader others(call);
  others.Get<int>("attempt");
  EXPECT_EQ(others.status().message(), "field \"attempt\" is missing");
}

}  // namespace
}  // namespace tandem
