// Chat templates: Jinja as Hugging Face models bring it, which turns a conversation into a prompt.
//
//   ASSIGN_OR_RETURN(const auto chat_template, ChatTemplate::Parse(source));
//   ASSIGN_OR_RETURN(const std::string prompt,
//                    chat_template->Render({{"messages", messages}, {"add_generation_prompt",
//                    true}},
//                                          now));
//
// Renders byte for byte what jinja2 renders in the environment that transformers sets up.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tandem {

namespace jinja {
struct Template;
}  // namespace jinja

// Thread-safe: any number of renders at once.
class ChatTemplate {
 public:
  // INVALID_ARGUMENT for a template that jinja2 refuses, UNIMPLEMENTED for a construct that is not
  // built here; both name the construct and its line.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(absl::string_view source);
  ~ChatTemplate();

  // Renders over `variables`, an object: messages, tools, documents, add_generation_prompt,
  // bos_token, eos_token and whatever else the template reads. `now` in `zone` is what
  // strftime_now() shows.
  //
  // INVALID_ARGUMENT with the template's own message where it calls raise_exception(). Any other
  // failure (a variable that is undefined, a limit on steps, depth or size that is reached) is
  // INVALID_ARGUMENT or UNIMPLEMENTED with the line.
  absl::StatusOr<std::string> Render(const nlohmann::ordered_json& variables, absl::Time now,
                                     absl::TimeZone zone = absl::UTCTimeZone()) const;

 private:
  explicit ChatTemplate(std::unique_ptr<const jinja::Template> root);

  const std::unique_ptr<const jinja::Template> root_;
};

}  // namespace tandem
