// Loads tests/golden/tokenizer: tokenisers trained for the tests, with what the libraries they are
// from say about each text.
#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "engine/core/log.h"
#include "engine/core/metadata.h"
#include "engine/tokenizer/tokenizer.h"

namespace tandem::golden {

using Json = nlohmann::json;

inline std::string ReadGolden(const std::string& name) {
  std::ifstream file(std::string(TANDEM_SOURCE_DIR) + "/tests/golden/tokenizer/" + name,
                     std::ios::binary);
  CHECK(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Json ReadGoldenJson(const std::string& name) { return Json::parse(ReadGolden(name)); }

inline std::vector<std::string> ReadTexts() {
  return ReadGoldenJson("texts.json").get<std::vector<std::string>>();
}

// A JSON object of scalars and flat arrays as the GGUF reader would deliver it.
inline Metadata ToMetadata(const Json& json) {
  Metadata metadata;
  for (const auto& [key, value] : json.items()) {
    MetadataValue& out = metadata.values[key];
    if (value.is_boolean()) out = value.get<bool>();
    if (value.is_number_integer()) out = value.get<int64_t>();
    if (value.is_string()) out = value.get<std::string>();
    if (!value.is_array() || value.empty()) continue;
    if (value[0].is_string()) out = value.get<std::vector<std::string>>();
    if (value[0].is_number_float()) out = value.get<std::vector<double>>();
    if (value[0].is_number_integer()) out = value.get<std::vector<int64_t>>();
  }
  return metadata;
}

// The default model's tokeniser from its list of tokens (see the golden data's README).
inline Metadata ReadSmolLm2Metadata() {
  Metadata metadata = ToMetadata(ReadGoldenJson("smollm2.json")["metadata"]);
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  std::vector<int64_t> kinds;
  std::istringstream lines(ReadGolden("smollm2.tokens.txt"));
  std::string text, kind, left;
  while (std::getline(lines, text, '\t') && std::getline(lines, kind, '\t') &&
         std::getline(lines, left)) {
    const size_t cut = std::stoul(left);
    if (cut > 0) merges.push_back(text.substr(0, cut) + " " + text.substr(cut));
    tokens.push_back(text);
    kinds.push_back(std::stol(kind));
  }
  metadata.values["tokenizer.ggml.tokens"] = tokens;
  metadata.values["tokenizer.ggml.merges"] = merges;
  metadata.values["tokenizer.ggml.token_type"] = kinds;
  return metadata;
}

// A byte-level BPE of a tokenizer.json as GGUF metadata with pre-tokeniser `pre`.
inline Metadata ToGguf(const Json& tokenizer, const std::string& pre) {
  std::vector<std::string> tokens;
  std::vector<int64_t> kinds;
  const auto place = [&tokens, &kinds](const std::string& text, size_t id, int64_t kind) {
    tokens.resize(std::max(tokens.size(), id + 1));
    kinds.resize(tokens.size());
    tokens[id] = text;
    kinds[id] = kind;
  };
  for (const auto& [text, id] : tokenizer["model"]["vocab"].items()) place(text, id, 1);
  for (const Json& added : tokenizer["added_tokens"]) {
    place(added["content"], added["id"], added["special"] ? 3 : 4);
  }
  std::vector<std::string> merges;
  for (const Json& merge : tokenizer["model"]["merges"]) {
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  Metadata metadata;
  metadata.values["tokenizer.ggml.model"] = std::string("gpt2");
  metadata.values["tokenizer.ggml.pre"] = pre;
  metadata.values["tokenizer.ggml.tokens"] = tokens;
  metadata.values["tokenizer.ggml.token_type"] = kinds;
  metadata.values["tokenizer.ggml.merges"] = merges;
  return metadata;
}

inline std::unique_ptr<const Tokenizer> LoadHuggingFace(const std::string& name) {
  auto tokenizer =
      Tokenizer::FromHuggingFace(ReadGoldenJson("hf_" + name + ".json")["tokenizer"].dump(), "");
  CHECK(tokenizer.ok()) << name << ": " << tokenizer.status();
  return *std::move(tokenizer);
}

inline std::unique_ptr<const Tokenizer> LoadSentencePiece(const std::string& name) {
  auto tokenizer =
      Tokenizer::FromGguf(ToMetadata(ReadGoldenJson("sp_" + name + ".json")["metadata"]));
  CHECK(tokenizer.ok()) << name << ": " << tokenizer.status();
  return *std::move(tokenizer);
}

inline std::unique_ptr<const Tokenizer> LoadSmolLm2() {
  auto tokenizer = Tokenizer::FromGguf(ReadSmolLm2Metadata());
  CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

inline const std::vector<std::string>& HuggingFaceNames() {
  static const auto& names = *new std::vector<std::string>{
      "gpt2",  "gpt2_prefix_nfkc", "llama3",  "qwen2",       "digits",
      "gpt4o", "tekken",           "dialect", "deepseek_v3", "llama2",
      "gemma", "metaspace_first",  "words",   "unigram",     "unigram_precompiled"};
  return names;
}

inline const std::vector<std::string>& SentencePieceNames() {
  static const auto& names =
      *new std::vector<std::string>{"llama2", "gemma", "bpe_unknown", "t5", "unigram_bytes"};
  return names;
}

}  // namespace tandem::golden
