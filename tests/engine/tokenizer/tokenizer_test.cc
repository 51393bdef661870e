#include "engine/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/tokenizer/utf8.h"
#include "tests/engine/tokenizer/golden_tokenizers.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr EncodeOptions kPlain{.add_special_tokens = false, .parse_special = false};

std::string RandomText(std::mt19937* random) {
  std::string text;
  const int size = static_cast<int>((*random)() % 60);
  for (int i = 0; i < size; ++i) {
    // Mostly ASCII, then Latin and Greek, then anything; 0xD800 + 0x800 skips the surrogates.
    const uint32_t kind = (*random)() % 8;
    char32_t code_point = (*random)() % 0x80;
    if (kind == 6) code_point = (*random)() % 0x600;
    if (kind == 7) code_point = (*random)() % 0x10F800;
    if (code_point >= 0xD800) code_point += 0x800;
    AppendUtf8(code_point, &text);
  }
  return text;
}

TEST(TokenizerTest, DecodesWhatItEncodesWithByteLevelBpe) {
  std::mt19937 random(1);
  for (const char* name :
       {"gpt2", "llama3", "digits", "gpt4o", "tekken", "deepseek_v3", "dialect"}) {
    const auto tokenizer = golden::LoadHuggingFace(name);
    for (int round = 0; round < 200; ++round) {
      const std::string text = RandomText(&random);
      const auto ids = tokenizer->Encode(text, kPlain);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(tokenizer->Decode(*ids, /*skip_special=*/false), text) << name;
    }
  }
}

TEST(TokenizerTest, DecodesWhatItEncodesWithByteFallback) {
  std::mt19937 random(2);
  for (const char* name : {"llama2", "gemma", "unigram_bytes"}) {
    const auto tokenizer = golden::LoadSentencePiece(name);
    for (int round = 0; round < 200; ++round) {
      const std::string text = RandomText(&random);
      const auto ids = tokenizer->Encode(text, kPlain);
      ASSERT_TRUE(ids.ok()) << ids.status();
      EXPECT_EQ(tokenizer->Decode(*ids, /*skip_special=*/false), text) << name;
    }
  }
}

TEST(TokenizerTest, ReadsInvalidUtf8AsReplacementCharacters) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  EXPECT_EQ(tokenizer->Encode("a\xFF\xE2\x82z", kPlain),
            tokenizer->Encode("a\ufffd\ufffdz", kPlain));
}

TEST(TokenizerTest, TakesAnyBytes) {
  std::mt19937 random(5);
  std::vector<std::unique_ptr<const Tokenizer>> tokenizers;
  for (const auto& name : golden::HuggingFaceNames()) {
    tokenizers.push_back(golden::LoadHuggingFace(name));
  }
  for (const auto& name : golden::SentencePieceNames()) {
    tokenizers.push_back(golden::LoadSentencePiece(name));
  }
  for (const auto& tokenizer : tokenizers) {
    for (int round = 0; round < 100; ++round) {
      std::string bytes(random() % 40, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      const auto ids = tokenizer->Encode(bytes, {});
      ASSERT_TRUE(ids.ok()) << ids.status();
      for (const int32_t id : *ids) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, tokenizer->vocab_size());
      }
    }
  }
}

// A merge loop or a trie that is quadratic would make this test hang.
TEST(TokenizerTest, KeepsItsPaceOnLongRuns) {
  constexpr size_t kRun = 300000;
  for (const char unit : {'a', ' ', '\n', '1', '!'}) {
    const std::string text(kRun, unit);
    for (const char* name : {"gpt2", "llama3", "llama2", "unigram"}) {
      EXPECT_TRUE(golden::LoadHuggingFace(name)->Encode(text, {}).ok()) << name << unit;
    }
    for (const char* name : {"gemma", "t5"}) {
      EXPECT_TRUE(golden::LoadSentencePiece(name)->Encode(text, {}).ok()) << name << unit;
    }
  }
}

TEST(TokenizerTest, GivesBytesAndTextOfTokens) {
  const auto tokenizer = golden::LoadHuggingFace("gpt2");
  const int32_t the = *tokenizer->FindToken("\u0120the");
  EXPECT_EQ(tokenizer->TokenText(the), "\u0120the");
  EXPECT_EQ(tokenizer->TokenBytes(the), " the");
  EXPECT_EQ(tokenizer->TokenBytes(*tokenizer->FindToken("\u00e2")), "\xE2");
  EXPECT_EQ(tokenizer->TokenBytes(-1), "");
  EXPECT_EQ(tokenizer->TokenText(tokenizer->vocab_size()), "");
  const auto bytes = golden::LoadSentencePiece("llama2");
  EXPECT_EQ(bytes->TokenBytes(*bytes->FindToken("<0xE2>")), "\xE2");
}

TEST(TokenizerTest, AddsWhatTheMetadataAsksFor) {
  Metadata metadata = golden::ToMetadata(golden::ReadGoldenJson("sp_llama2.json")["metadata"]);
  const auto ids = [&metadata] {
    return (*Tokenizer::FromGguf(metadata))->Encode("", {.add_special_tokens = true}).value();
  };
  EXPECT_THAT(ids(), ElementsAre(1));  // SentencePiece BPE begins with bos unless told otherwise.
  metadata.values["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_THAT(ids(), ElementsAre());
  metadata.values["tokenizer.ggml.add_eos_token"] = true;
  EXPECT_THAT(ids(), ElementsAre(2));
  metadata.values["tokenizer.ggml.eos_token_id"] = int64_t{1};
  EXPECT_THAT(ids(), ElementsAre(1));
}

TEST(TokenizerTest, CollectsEveryTokenThatEndsATurn) {
  Metadata metadata = golden::ReadSmolLm2Metadata();
  metadata.values["tokenizer.ggml.eot_token_id"] = int64_t{500};
  EXPECT_THAT((*Tokenizer::FromGguf(metadata))->EndOfTurnIds(), ElementsAre(0, 2, 500));
}

TEST(TokenizerTest, ReadsTheConfigOfAHuggingFaceFolder) {
  const std::string json = golden::ReadGoldenJson("hf_llama3.json")["tokenizer"].dump();
  const auto load = [&json](absl::string_view config) {
    auto tokenizer = Tokenizer::FromHuggingFace(json, config);
    CHECK(tokenizer.ok()) << tokenizer.status();
    return *std::move(tokenizer);
  };
  const auto tokenizer = load(R"({
    "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "<|im_end|>",
    "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]
  })");
  EXPECT_EQ(tokenizer->bos_text(), "<s>");
  EXPECT_EQ(tokenizer->bos_id(), tokenizer->FindToken("<s>"));
  EXPECT_EQ(tokenizer->eos_text(), "<|im_end|>");
  EXPECT_EQ(tokenizer->chat_template(), "D");
  EXPECT_THAT(tokenizer->EndOfTurnIds(), testing::Contains(*tokenizer->FindToken("</s>")));
  EXPECT_EQ(load(R"({"chat_template": "S"})")->chat_template(), "S");
  EXPECT_EQ(load("")->chat_template(), "");
  EXPECT_EQ(load("")->bos_id(), std::nullopt);
}

TEST(TokenizerTest, EndsATurnWhereTheGenerationConfigSaysSo) {
  const std::string json = golden::ReadGoldenJson("hf_llama3.json")["tokenizer"].dump();
  const auto load = [&json](absl::string_view config) {
    return Tokenizer::FromHuggingFace(json, "", config);
  };
  EXPECT_THAT((*load(R"({"eos_token_id": 77})"))->EndOfTurnIds(), testing::Contains(77));
  EXPECT_THAT((*load(R"({"eos_token_id": [77, 78]})"))->EndOfTurnIds(),
              testing::IsSupersetOf({77, 78}));
  EXPECT_EQ((*load("{}"))->EndOfTurnIds(), (*load(""))->EndOfTurnIds());
  EXPECT_THAT(load(R"({"eos_token_id": "</s>"})").status().ToString(),
              testing::HasSubstr("eos_token_id: \"</s>\" is no token id"));
}

TEST(TokenizerTest, LetsTheConfigOverruleThePostProcessor) {
  const std::string json = golden::ReadGoldenJson("hf_llama3.json")["tokenizer"].dump();
  const auto ids = [&json](absl::string_view config) {
    return (*Tokenizer::FromHuggingFace(json, config))->Encode("", {}).value();
  };
  EXPECT_THAT(ids(R"({"bos_token": "<s>"})"), ElementsAre(1));
  EXPECT_THAT(ids(R"({"bos_token": "<s>", "add_bos_token": false})"), ElementsAre());
  EXPECT_THAT(ids(R"({"eos_token": "</s>", "add_eos_token": true})"), ElementsAre(1, 2));
}

TEST(TokenizerTest, KnowsThePreTokenizersOfGguf) {
  const golden::Json json = golden::ReadGoldenJson("hf_gpt2.json")["tokenizer"];
  for (const char* pre : {"",
                          "default",
                          "gpt-2",
                          "smollm",
                          "llama3",
                          "llama-bpe",
                          "qwen2",
                          "qwen3",
                          "qwen35",
                          "tekken",
                          "deepseek-llm",
                          "deepseek-coder",
                          "deepseek-v3",
                          "gpt-4o",
                          "olmo",
                          "dolma",
                          "starcoder",
                          "codeshell",
                          "refact",
                          "granite",
                          "falcon",
                          "falcon3",
                          "chatglm-bpe",
                          "command-r",
                          "dbrx",
                          "bloom",
                          "viking",
                          "superbpe",
                          "bailingmoe",
                          "seed-coder",
                          "minicpm5",
                          "tiny_aya",
                          "hunyuan"}) {
    const auto tokenizer = Tokenizer::FromGguf(golden::ToGguf(json, pre));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const std::string& text : golden::ReadTexts()) {
      const auto ids = (*tokenizer)->Encode(text, kPlain);
      ASSERT_TRUE(ids.ok()) << pre << ids.status();
      EXPECT_EQ((*tokenizer)->Decode(*ids, false), text) << pre;
    }
  }
}

}  // namespace
}  // namespace tandem
