#include "server/gateway/api_request.h"

#include "absl/strings/str_cat.h"
#include "server/gateway/error.h"

namespace tandem {

absl::Status CheckStopStrings(absl::string_view field, const std::vector<std::string>& strings) {
  // Each costs work per byte of output; clients send at most a handful.
  constexpr size_t kMaxStopStrings = 64;
  if (strings.size() > kMaxStopStrings) {
    return InvalidField(field,
                        absl::StrCat("`", field, "` has ", strings.size(), " strings; at most ",
                                     kMaxStopStrings, " are allowed."));
  }
  for (const std::string& stop_string : strings) {
    if (stop_string.empty()) {
      return InvalidField(field, absl::StrCat("`", field, "` cannot contain an empty string."));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
