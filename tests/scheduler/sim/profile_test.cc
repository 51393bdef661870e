#include "scheduler/sim/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

using ::testing::HasSubstr;

InstanceProfile MakeInstance(int tp, int pp) {
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
          .num_layers = 30,
          .weight_bytes = 123456789,
          .max_num_batched_tokens = 256};
}

std::string ErrorOf(const std::string& text) {
  const absl::Status status = ParseProfile(text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(status.message());
}

TEST(ProfileTest, ReadsWhatItWrites) {
  const nlohmann::ordered_json written =
      ProfileJson({.instances = {MakeInstance(1, 1), MakeInstance(2, 1)}});
  const auto profile = ParseProfile(written.dump());
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_EQ(profile->instances.size(), 2u);
  EXPECT_EQ(profile->path, std::nullopt);
  EXPECT_EQ(ProfileJson(*profile).dump(), written.dump());
}

TEST(ProfileTest, KeepsWhatWasLearntWhileServing) {
  Profile profile{.instances = {MakeInstance(1, 1)}};
  profile.instances[0].steps = {.prefill = 20, .decode = 3000, .mixed = 7};
  profile.instances[0].scatter = {.prefill = 0.125, .decode = 0.0625};
  profile.path = {.ingress = absl::Microseconds(200),
                  .route = absl::Microseconds(600),
                  .network = absl::Milliseconds(1.25),
                  .detokenize = absl::Microseconds(10),
                  .num_requests = 60,
                  .kv_exposed = absl::Milliseconds(0.75),
                  .num_handoffs = 41};
  const nlohmann::ordered_json written = ProfileJson(profile);
  const auto read = ParseProfile(written.dump());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->instances[0].steps, profile.instances[0].steps);
  EXPECT_EQ(read->instances[0].scatter, profile.instances[0].scatter);
  EXPECT_EQ(read->path, profile.path);
  EXPECT_EQ(written["path"]["kv_exposed_ms"], 0.75);
}

TEST(ProfileTest, APathWithoutHandoffsKnowsNoExposedTime) {
  Profile profile{.instances = {MakeInstance(1, 1)}};
  profile.path.emplace().num_requests = 3;
  const nlohmann::ordered_json written = ProfileJson(profile);
  EXPECT_FALSE(written["path"].contains("kv_exposed_ms"));
  EXPECT_EQ(ParseProfile(written.dump())->path->kv_exposed, std::nullopt);
}

TEST(ProfileTest, ARegimeThatIsNotThereNeedNotBeWritten) {
  InstanceProfile instance = MakeInstance(1, 1);
  instance.latency.large_decode_rows = 0;
  const auto profile = ParseProfile(ProfileJson({.instances = {instance}}).dump());
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->instances[0].latency.large_decode_rows, 0);
}

TEST(ProfileTest, FindsTheInstanceOfItsRanksAndNamesTheOthers) {
  const std::vector<InstanceProfile> instances = {MakeInstance(1, 1), MakeInstance(2, 1)};
  EXPECT_EQ(FindProfile(instances, 2, 1)->tp, 2);
  const absl::Status status = FindProfile(instances, 1, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("1x1 of 3 threads, 2x1 of 3 threads"));
}

TEST(ProfileTest, TellsInstancesApartByTheirThreads) {
  std::vector<InstanceProfile> instances = {MakeInstance(1, 1), MakeInstance(1, 1)};
  instances[1].threads = 8;
  EXPECT_EQ(FindProfile(instances, 1, 1)->threads, 3) << "the first, where none is asked for";
  EXPECT_EQ(FindProfile(instances, 1, 1, 8)->threads, 8);
  EXPECT_EQ(FindProfile(instances, 1, 1, 2).status().code(), absl::StatusCode::kNotFound);
}

TEST(ProfileTest, NamesWhatIsMissingOrMakesNoSense) {
  EXPECT_THAT(ErrorOf(" \n"), HasSubstr("not a profile: the file is empty"));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not a profile"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("not a profile"));
  EXPECT_THAT(ErrorOf(R"({"tandem_profile":1,"instances":[1]})"), HasSubstr("instances[0]"));
  EXPECT_THAT(ErrorOf(R"({"tandem_profile":1,"instances":[{"pp":1}]})"),
              HasSubstr("instances[0].tp"));
  nlohmann::ordered_json root = ProfileJson({.instances = {MakeInstance(1, 1)}});
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
  root = ProfileJson({.instances = {MakeInstance(1, 1)}});
  root["instances"][0]["scatter"] = {{"prefill", 0.1}, {"decode", -0.1}};
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("instances[0].scatter.decode has to be between"));
  root["instances"][0].erase("scatter");
  root["path"] = {{"ingress_ms", 1}, {"route_ms", -1}, {"network_ms", 1}, {"detokenize_ms", 0}};
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("path.route_ms"));
  root["path"] = 3;
  EXPECT_THAT(ErrorOf(root.dump()), HasSubstr("path has to be an object"));
}

}  // namespace
}  // namespace tandem
