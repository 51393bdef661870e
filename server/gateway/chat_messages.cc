#include "server/gateway/chat_messages.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/error.h"

namespace tandem {
namespace {

// Text of one content part. "refusal" is what an assistant's earlier turn may hold.
absl::StatusOr<std::string> ParsePart(const std::string& place, const Json& part) {
  if (part.is_string()) return part.get<std::string>();
  if (!part.is_object()) {
    return InvalidField(place, absl::StrCat("`", place, "` must be an object with a `type`, got ",
                                            JsonTypeName(part), "."));
  }
  const auto type = part.find("type");
  if (type == part.end()) {
    return InvalidField(place, absl::StrCat("`", place, "` has no `type`."));
  }
  ASSIGN_OR_RETURN(const std::string name, AsString(absl::StrCat(place, ".type"), *type));
  if (name != "text" && name != "refusal") {
    return NotSupported(absl::StrCat(place, ".type"),
                        absl::StrCat("Content of type `", name,
                                     "` is not supported by this build; ", "`text` is."));
  }
  const auto text = part.find(name);
  const std::string text_place = absl::StrCat(place, ".", name);
  if (text == part.end()) {
    return InvalidField(text_place, absl::StrCat("`", text_place, "` is missing."));
  }
  return AsString(text_place, *text);
}

absl::StatusOr<std::string> JoinParts(const std::string& place, const Json& parts) {
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string text, ParsePart(absl::StrCat(place, "[", i, "]"), parts[i]));
    absl::StrAppend(&joined, i == 0 ? "" : "\n", text);
  }
  return joined;
}

// Templates iterate over the arguments, so text that holds a JSON object becomes that object.
void OpenToolCallArguments(Json& message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return;
  for (Json& call : *calls) {
    if (!call.is_object() || !call.contains("function")) continue;
    Json& function = call["function"];
    if (!function.is_object() || !function.contains("arguments")) continue;
    Json& arguments = function["arguments"];
    if (!arguments.is_string()) continue;
    absl::StatusOr<Json> parsed = ParseJsonObject(arguments.get_ref<const std::string&>());
    if (parsed.ok()) arguments = *std::move(parsed);
  }
}

absl::StatusOr<Json> ParseMessage(const std::string& place, const Json& value) {
  if (!value.is_object()) {
    return InvalidField(
        place, absl::StrCat("`", place, "` must be an object with `role` and `content`, got ",
                            JsonTypeName(value), "."));
  }
  Json message = value;
  const std::string role_place = absl::StrCat(place, ".role");
  if (!message.contains("role")) {
    return InvalidField(role_place, absl::StrCat("`", role_place, "` is missing."));
  }
  ASSIGN_OR_RETURN(const std::string role, AsString(role_place, message["role"]));
  if (role.empty()) {
    return InvalidField(role_place, absl::StrCat("`", role_place, "` must not be empty."));
  }
  OpenToolCallArguments(message);
  const std::string content_place = absl::StrCat(place, ".content");
  const bool is_absent = !message.contains("content") || message["content"].is_null();
  if (is_absent) {
    // Only an assistant's turn may have nothing but tool calls to say.
    if (role != "assistant") {
      return InvalidField(content_place, absl::StrCat("`", content_place, "` is missing."));
    }
    message["content"] = message.contains("tool_calls") ? Json(nullptr) : Json("");
  } else if (message["content"].is_array()) {
    ASSIGN_OR_RETURN(message["content"], JoinParts(content_place, message["content"]));
  } else if (!message["content"].is_string()) {
    return InvalidField(content_place, absl::StrCat("`", content_place,
                                                    "` must be a string or a list of parts, got ",
                                                    JsonTypeName(message["content"]), "."));
  }
  return message;
}

}  // namespace

absl::StatusOr<Json> ParseMessages(const Json& value) {
  if (!value.is_array() || value.empty()) {
    return InvalidField("messages", "`messages` must be a non-empty list of messages.");
  }
  Json messages = Json::array();
  for (size_t i = 0; i < value.size(); ++i) {
    ASSIGN_OR_RETURN(Json message, ParseMessage(absl::StrCat("messages[", i, "]"), value[i]));
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace tandem
