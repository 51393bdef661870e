// What every error of a loader must be: of the right code, one line, naming the file and the parts
// that a user needs.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem {

inline void ExpectError(const absl::Status& status, absl::StatusCode code, const std::string& file,
                        std::initializer_list<std::string> parts) {
  EXPECT_EQ(status.code(), code) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, ::testing::HasSubstr(file));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 500u) << message;
  for (const std::string& part : parts) EXPECT_THAT(message, ::testing::HasSubstr(part));
}

inline void ExpectMalformed(const absl::Status& status, const std::string& file,
                            std::initializer_list<std::string> parts) {
  ExpectError(status, absl::StatusCode::kInvalidArgument, file, parts);
}

inline void ExpectUnsupported(const absl::Status& status, const std::string& file,
                              std::initializer_list<std::string> parts) {
  ExpectError(status, absl::StatusCode::kUnimplemented, file, parts);
}

}  // namespace tandem
