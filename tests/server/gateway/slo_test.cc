#include "server/gateway/slo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/gateway/request_headers.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SloClasses Classes() {
  return *SloClasses::Parse({"interactive=ttft:400,tpot:40,reject", "batch=ttft:30000"});
}

TEST(SloTest, ARequestTakesFromItsClassWhatItDoesNotSay) {
  const Slo slo = *Classes().Resolve({.class_name = "interactive"});
  EXPECT_EQ(slo.label, "interactive");
  EXPECT_EQ(slo.ttft, absl::Milliseconds(400));
  EXPECT_EQ(slo.tpot, absl::Milliseconds(40));
  EXPECT_TRUE(slo.reject_late);
  const Slo own = *Classes().Resolve(
      {.class_name = "interactive", .ttft = absl::Seconds(1), .reject_late = false});
  EXPECT_EQ(own.label, "interactive");
  EXPECT_EQ(own.ttft, absl::Seconds(1));
  EXPECT_EQ(own.tpot, absl::Milliseconds(40));
  EXPECT_FALSE(own.reject_late);
}

TEST(SloTest, WithoutAClassTargetsAreItsOwnOrNone) {
  EXPECT_EQ(Classes().Resolve({})->label, "none");
  EXPECT_EQ(Classes().Resolve({})->ttft, absl::InfiniteDuration());
  EXPECT_EQ(Classes().Resolve({.tpot = absl::Milliseconds(9)})->label, "custom");
  EXPECT_EQ(Classes().Resolve({.class_name = "other"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(Classes().Labels(), ElementsAre("none", "custom", "batch", "interactive"));
}

TEST(SloTest, SaysWhatIsWrongWithAClass) {
  const auto error = [](const std::string& spec) {
    return std::string(SloClasses::Parse({spec}).status().message());
  };
  EXPECT_THAT(error("fast=ttft:soon"), HasSubstr("\"soon\" is no positive number of ms"));
  EXPECT_THAT(error("fast=ttft:inf"), HasSubstr("no positive number"));
  EXPECT_THAT(error("fast=latency:4"), HasSubstr("none of ttft:MS, tpot:MS and reject"));
  EXPECT_THAT(error("fast=reject"), HasSubstr("has neither"));
  EXPECT_THAT(error("none=ttft:4"), HasSubstr("no name for a class"));
  EXPECT_THAT(error("=ttft:4"), HasSubstr("no name for a class"));
  EXPECT_THAT(std::string(SloClasses::Parse({"a=ttft:4", "a=ttft:5"}).status().message()),
              HasSubstr("given twice"));
}

TEST(SloTest, HeadersNameClassesAndTargets) {
  ApiRequest request;
  ASSERT_TRUE(TakeHeaders({{"X-Tandem-Slo-Class", "batch"},
                           {"x-llm-d-slo-tpot-ms", "12.5"},
                           {"x-tandem-reject-late", "true"}},
                          Classes(), request)
                  .ok());
  const Slo slo = *Classes().Resolve(request.slo);
  EXPECT_EQ(slo.label, "batch");
  EXPECT_EQ(slo.ttft, absl::Seconds(30));
  EXPECT_EQ(slo.tpot, absl::Microseconds(12500));
  EXPECT_TRUE(slo.reject_late);
}

TEST(SloTest, OurHeadersComeBeforeThoseOfOtherGateways) {
  ApiRequest request;
  ASSERT_TRUE(TakeHeaders({{"x-llm-d-inference-objective", "batch"},
                           {"x-tandem-slo-class", "interactive"},
                           {"x-slo-ttft-ms", "3"},
                           {"x-tandem-ttft-ms", "2"}},
                          Classes(), request)
                  .ok());
  EXPECT_EQ(request.slo.class_name, "interactive");
  EXPECT_EQ(request.slo.ttft, absl::Milliseconds(2));
}

TEST(SloTest, OnlyOurHeaderMustNameAClassThatThereIs) {
  ApiRequest request;
  EXPECT_TRUE(TakeHeaders({{"x-llm-d-inference-objective", "other"}}, Classes(), request).ok());
  EXPECT_EQ(request.slo.class_name, "");
  EXPECT_THAT(
      std::string(TakeHeaders({{"x-tandem-slo-class", "other"}}, Classes(), request).message()),
      HasSubstr("there is no SLO class \"other\""));
}

}  // namespace
}  // namespace tandem
