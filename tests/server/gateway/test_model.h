// A model folder for tests: configuration and tokeniser, no weights.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "engine/core/log.h"
#include "nlohmann/json.hpp"

namespace tandem::testing {

// Byte-level BPE of 425 tokens: </s> is 2, <|im_end|> is 4, every byte is a token. Removed when
// destroyed.
class TestModel {
 public:
  // Not a real model's template: "[role]content" per message, "[assistant]" to answer.
  static constexpr char kChatTemplate[] =
      "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}";

  explicit TestModel(const std::string& chat_template = kChatTemplate) {
    std::string folder = (std::filesystem::temp_directory_path() / "tandem-test-XXXXXX").string();
    CHECK(::mkdtemp(folder.data()) != nullptr) << folder;
    path_ = folder;
    const nlohmann::json golden = nlohmann::json::parse(
        std::ifstream(TANDEM_SOURCE_DIR "/tests/golden/tokenizer/hf_gpt2.json"));
    Write("tokenizer.json", golden["tokenizer"]);
    nlohmann::json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    if (!chat_template.empty()) config["chat_template"] = chat_template;
    Write("tokenizer_config.json", config);
    nlohmann::json model = nlohmann::json::parse(
        std::ifstream(TANDEM_SOURCE_DIR "/tests/golden/tiny/llama/config.json"));
    model["vocab_size"] = kVocabSize;
    Write("config.json", model);
  }
  ~TestModel() { std::filesystem::remove_all(path_); }
  TestModel(const TestModel&) = delete;
  TestModel& operator=(const TestModel&) = delete;

  static constexpr int kVocabSize = 425;
  const std::string& path() const { return path_; }

 private:
  void Write(const std::string& name, const nlohmann::json& json) const {
    std::ofstream(path_ + "/" + name) << json;
  }

  std::string path_;
};

}  // namespace tandem::testing
