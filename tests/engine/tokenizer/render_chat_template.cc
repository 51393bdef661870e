// Renders chat templates for tools/compare_chat_templates.py: a request per line of standard input,
// an answer per line of standard output.
//
//   {"template": "{{ x }}", "variables": {"x": 1}, "now": 1700000000}  ->  {"text": "1"}
//                                                           or where it fails  {"error": "..."}
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/chat_template.h"

namespace tandem {
namespace {

// Keeps the template of the last request, which the next one is likely to have too.
class Renderer {
 public:
  absl::StatusOr<std::string> Answer(const nlohmann::ordered_json& request) {
    if (const auto source = request.at("template").get<std::string>();
        chat_template_ == nullptr || source != source_) {
      ASSIGN_OR_RETURN(chat_template_, ChatTemplate::Parse(source));
      source_ = source;
    }
    return chat_template_->Render(request.at("variables"),
                                  absl::FromUnixSeconds(request.at("now").get<int64_t>()));
  }

 private:
  std::string source_;
  std::unique_ptr<ChatTemplate> chat_template_;
};

int Main() {
  Renderer renderer;
  for (std::string line; std::getline(std::cin, line);) {
    const absl::StatusOr<std::string> text = renderer.Answer(nlohmann::ordered_json::parse(line));
    const nlohmann::json answer = text.ok() ? nlohmann::json{{"text", *text}}
                                            : nlohmann::json{{"error", text.status().ToString()}};
    std::cout << answer.dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace tandem

int main() { return tandem::Main(); }
