#include "scheduler/sim/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;

InstanceProfile Profile(int tp, int pp) {
  return {.model = "tiny",
          .device = "a \"device\"",
          .tp = tp,
          .pp = pp,
          .threads = 3,
          .latency = {.prefill = {1, 0.1, 1e-5},
                      .decode = {2, 1e-4, 0.3},
                      .large_decode = {3, 2e-4, 0.1},
                      .large_decode_rows = 95},
          .mean_error = 0.02,
          .max_error = 0.11,
          .block_size = 8,
          .num_kv_tokens = 4096,
          .kv_bytes_per_token = 23040,
          .weight_bytes = 123456789,
          .max_num_batched_tokens = 256};
}

std::string ErrorOf(const std::string& text) {
  const absl::Status status = ParseProfile(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(status.message());
}

TEST(ProfileTest, ReadsWhatItWrites) {
  const nlohmann::ordered_json written = ProfileJson({Profile(1, 1), Profile(2, 1)});
  const auto instances = ParseProfile(written.dump());
  ASSERT_TRUE(instances.ok()) << instances.status();
  ASSERT_EQ(instances->size(), 2u);
  EXPECT_EQ(ProfileJson(*instances).dump(), written.dump());
}

TEST(ProfileTest, ARegimeThatIsNotThereNeedNotBeWritten) {
  InstanceProfile profile = Profile(1, 1);
  profile.latency.large_decode_rows = 0;
  const auto instances = ParseProfile(ProfileJson({profile}).dump());
  ASSERT_TRUE(instances.ok()) << instances.status();
  EXPECT_EQ((*instances)[0].latency.large_decode_rows, 0);
}

TEST(ProfileTest, FindsTheInstanceOfItsRanksAndNamesTheOthers) {
  const std::vector<InstanceProfile> instances = {Profile(1, 1), Profile(2, 1)};
  EXPECT_EQ(FindProfile(instances, 2, 1)->tp, 2);
  const absl::Status status = FindProfile(instances, 1, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1x1 of 3 threads, 2x1 of 3 threads"));
}

TEST(ProfileTest, TellsInstancesApartByTheirThreads) {
  std::vector<InstanceProfile> instances = {Profile(1, 1), Profile(1, 1)};
  instances[1].threads = 8;
  EXPECT_EQ(FindProfile(instances, 1, 1)->threads, 3) << "the first, where none is asked for";
  EXPECT_EQ(FindProfile(instances, 1, 1, 8)->threads, 8);
  EXPECT_EQ(FindProfile(instances, 1, 1, 2).status().code(), absl::StatusCode::kNotFound);
}

TEST(ProfileTest, NamesWhatIsMissingOrMakesNoSense) {
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not a profile"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("not a profile"));
  EXPECT_THAT(ErrorOf(R"({"tandem_profile":1,"instances":[1]})"), HasSubstr("instances[0]"));
  EXPECT_THAT(ErrorOf(R"({"tandem_profile":1,"instances":[{"pp":1}]})"),
              HasSubstr("instances[0].tp"));
  nlohmann::ordered_json root = ProfileJson({Profile(1, 1)});
  root["instances"][0]["latency"]["decode"]["row_ms"] = "fast";
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("instances[0].latency.decode.row_ms"));
  root["instances"][0]["latency"]["decode"]["row_ms"] = -1;
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("decode row"));
  root["instances"][0]["latency"].erase("decode");
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("instances[0].latency.decode"));
  root["instances"][0]["mean_error"] = "small";
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("instances[0].mean_error"));
  root["instances"][0]["tp"] = 1e30;
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("tp"));
}

}  // namespace
}  // namespace tandem
