#include "engine/tokenizer/chat_template.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_ast.h"
#include "engine/tokenizer/jinja_interpreter.h"
#include "engine/tokenizer/jinja_json.h"
#include "engine/tokenizer/jinja_parser.h"
#include "engine/tokenizer/jinja_resolver.h"
#include "engine/tokenizer/jinja_runtime.h"

namespace tandem {

ChatTemplate::ChatTemplate(std::unique_ptr<const jinja::Template> root) : root_(std::move(root)) {}

ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(absl::string_view source) {
  ASSIGN_OR_RETURN(std::unique_ptr<jinja::Template> root, jinja::ParseTemplate(source));
  RETURN_IF_ERROR(jinja::ResolveVariables(*root));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(root)));
}

absl::StatusOr<std::string> ChatTemplate::Render(const nlohmann::ordered_json& variables,
                                                 absl::Time now, absl::TimeZone zone) const {
  ASSIGN_OR_RETURN(const jinja::Value values, jinja::FromJson(variables));
  if (!values.is_dict()) {
    return absl::InvalidArgumentError("the variables of a chat template must be an object");
  }
  jinja::Runtime runtime(now, zone);
  jinja::Interpreter interpreter(*root_, values.dict(), runtime);
  absl::StatusOr<std::string> text = interpreter.Render();
  if (text.ok() || runtime.raised_by_template()) return text;
  return absl::Status(text.status().code(),
                      absl::StrCat("chat template, line ", interpreter.error_line(), ": ",
                                   text.status().message()));
}

}  // namespace tandem
