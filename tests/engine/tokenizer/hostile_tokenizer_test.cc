// Metadata and files that are wrong, by accident or on purpose: an error that names what is wrong,
// never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/engine/tokenizer/golden_tokenizers.h"

namespace tandem {
namespace {

using golden::Json;
using testing::AllOf;
using testing::HasSubstr;

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;

Metadata ByteLevel() {
  return golden::ToGguf(golden::ReadGoldenJson("hf_gpt2.json")["tokenizer"], "gpt-2");
}

Metadata SentencePiece() {
  return golden::ToMetadata(golden::ReadGoldenJson("sp_llama2.json")["metadata"]);
}

std::string GgufError(Metadata metadata, absl::string_view key, MetadataValue value) {
  metadata.values[std::string(key)] = std::move(value);
  return Tokenizer::FromGguf(metadata).status().ToString();
}

TEST(HostileGgufTest, NamesTheMissingKey) {
  EXPECT_THAT(Tokenizer::FromGguf({}).status().ToString(), HasSubstr("tokenizer.ggml."));
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    Metadata metadata = ByteLevel();
    metadata.values.erase(key);
    EXPECT_THAT(Tokenizer::FromGguf(metadata).status().ToString(), HasSubstr(key));
  }
}

TEST(HostileGgufTest, NamesTheKeyOfAWrongType) {
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.tokens", true), HasSubstr("ggml.tokens"));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.merges", Ints{1}), HasSubstr("ggml.merges"));
  EXPECT_THAT(GgufError(SentencePiece(), "tokenizer.ggml.scores", Strings{"x"}),
              HasSubstr("ggml.scores"));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.bos_token_id", std::string("1")),
              HasSubstr("bos_token_id"));
}

TEST(HostileGgufTest, NamesAnUnsupportedModelOrPreTokenizer) {
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.model", std::string("bert")),
              AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("WordPiece")));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.model", std::string("rwkv")),
              AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("rwkv")));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.pre", std::string("klingon")),
              AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("klingon")));
}

TEST(HostileGgufTest, NamesAWrongNumberOfEntries) {
  EXPECT_THAT(GgufError(SentencePiece(), "tokenizer.ggml.scores", Floats{0.5}),
              HasSubstr("scores has 1 entries"));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.token_type", Ints(100000, 1)),
              HasSubstr("token_type has 100000 entries"));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.tokens", Strings{}), HasSubstr("entries"));
}

TEST(HostileGgufTest, NamesABadScoreTypeOrId) {
  Metadata metadata = SentencePiece();
  auto& scores = std::get<Floats>(metadata.values["tokenizer.ggml.scores"]);
  scores[7] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(Tokenizer::FromGguf(metadata).status().ToString(), HasSubstr("token 7 is nan"));
  metadata = SentencePiece();
  std::get<Ints>(metadata.values["tokenizer.ggml.token_type"])[9] = 99;
  EXPECT_THAT(Tokenizer::FromGguf(metadata).status().ToString(), HasSubstr("unknown type 99"));
  for (const int64_t id : {int64_t{-1}, int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    for (const char* key : {"bos", "eos", "unknown", "eot"}) {
      const std::string name = absl::StrCat("tokenizer.ggml.", key, "_token_id");
      EXPECT_THAT(GgufError(SentencePiece(), name, id),
                  AllOf(HasSubstr(name), HasSubstr(absl::StrCat(id))));
    }
  }
}

TEST(HostileGgufTest, NamesDuplicateTokensAndUnknownMerges) {
  Metadata metadata = ByteLevel();
  auto& tokens = std::get<Strings>(metadata.values["tokenizer.ggml.tokens"]);
  tokens[20] = tokens[10];
  EXPECT_THAT(Tokenizer::FromGguf(metadata).status().ToString(),
              AllOf(HasSubstr("duplicate token"), HasSubstr("ids 10 and 20")));
  EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.merges", Strings{"a nonsense"}),
              HasSubstr("\"nonsense\", which is not a token"));
  for (const char* line : {"", " ", "a", "a ", "  "}) {
    EXPECT_THAT(GgufError(ByteLevel(), "tokenizer.ggml.merges", Strings{line}),
                HasSubstr("not two tokens"));
  }
}

TEST(HostileGgufTest, RefusesABadCharacterMap) {
  const Metadata t5 = golden::ToMetadata(golden::ReadGoldenJson("sp_t5.json")["metadata"]);
  EXPECT_THAT(GgufError(t5, "tokenizer.ggml.precompiled_charsmap", Ints{1, 2}),
              HasSubstr("character map"));
  EXPECT_THAT(GgufError(t5, "tokenizer.ggml.precompiled_charsmap", Ints{300}),
              HasSubstr("300 is not a byte"));
}

// The tokenizer.json `name`, changed.
std::string JsonError(const std::string& name, const std::function<void(Json&)>& change) {
  Json json = golden::ReadGoldenJson("hf_" + name + ".json")["tokenizer"];
  change(json);
  return Tokenizer::FromHuggingFace(json.dump(), "").status().ToString();
}

TEST(HostileJsonTest, NamesWhatIsNotJson) {
  EXPECT_THAT(Tokenizer::FromHuggingFace("", "").status().ToString(), HasSubstr("tokenizer.json"));
  EXPECT_THAT(Tokenizer::FromHuggingFace("{]", "").status().ToString(), HasSubstr("not JSON"));
  EXPECT_THAT(Tokenizer::FromHuggingFace("[1]", "").status().ToString(), HasSubstr("\"model\""));
  const std::string good = golden::ReadGoldenJson("hf_gpt2.json")["tokenizer"].dump();
  EXPECT_THAT(Tokenizer::FromHuggingFace(good, "{").status().ToString(),
              HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(Tokenizer::FromHuggingFace(good, R"({"bos_token": 5})").status().ToString(),
              HasSubstr("bos_token"));
  EXPECT_THAT(Tokenizer::FromHuggingFace(good, R"({"chat_template": 5})").status().ToString(),
              HasSubstr("chat_template"));
}

TEST(HostileJsonTest, NamesTheUnsupportedKind) {
  const auto type_of = [](const char* stage) {
    return [stage](Json& json) { json[stage] = {{"type", "Klingon"}}; };
  };
  for (const char* stage : {"normalizer", "pre_tokenizer", "decoder", "post_processor"}) {
    EXPECT_THAT(JsonError("gpt2", type_of(stage)),
                AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr(stage), HasSubstr("Klingon")));
  }
  EXPECT_THAT(JsonError("gpt2", [](Json& json) { json["model"]["type"] = "WordPiece"; }),
              AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("WordPiece")));
  EXPECT_THAT(JsonError("gpt2", [](Json& json) { json["model"]["end_of_word_suffix"] = "</w>"; }),
              HasSubstr("end_of_word_suffix"));
}

TEST(HostileJsonTest, NamesBadTokensAndIds) {
  for (const int64_t id : {int64_t{-1}, int64_t{1} << 31, int64_t{1} << 62}) {
    EXPECT_THAT(JsonError("gpt2", [id](Json& json) { json["model"]["vocab"]["zzz"] = id; }),
                AllOf(HasSubstr("zzz"), HasSubstr("out of range")));
    EXPECT_THAT(JsonError("gpt2", [id](Json& json) { json["added_tokens"][0]["id"] = id; }),
                HasSubstr("out of range"));
  }
  EXPECT_THAT(JsonError("gpt2", [](Json& json) { json["model"]["vocab"]["zzz"] = 30; }),
              HasSubstr("belongs to both"));
  EXPECT_THAT(JsonError("gpt2", [](Json& json) { json["model"]["vocab"]["zzz"] = "x"; }),
              HasSubstr("zzz"));
  EXPECT_THAT(JsonError("gpt2",
                        [](Json& json) {
                          json["model"]["merges"][3] = {"a", "zzz"};
                        }),
              AllOf(HasSubstr("merge 3"), HasSubstr("zzz")));
  EXPECT_THAT(JsonError("gpt2", [](Json& json) { json["model"]["merges"][3] = 5; }),
              HasSubstr("merge 3"));
  EXPECT_THAT(JsonError("unigram", [](Json& json) { json["model"]["unk_id"] = 1 << 30; }),
              HasSubstr("unk_id"));
  EXPECT_THAT(JsonError("unigram", [](Json& json) { json["model"]["vocab"][5] = {"x"}; }),
              HasSubstr("vocab entry 5"));
}

TEST(HostileJsonTest, RefusesStagesNestedTooDeeply) {
  Json stage = {{"type", "NFC"}};
  for (int depth = 0; depth < 1000; ++depth) {
    stage = {{"type", "Sequence"}, {"normalizers", Json::array({stage})}};
  }
  EXPECT_THAT(JsonError("gpt2", [&stage](Json& json) { json["normalizer"] = stage; }),
              HasSubstr("nested too deeply"));
}

// Every value of the tree, except single entries of the long lists.
void CollectNodes(Json* node, std::vector<Json*>* nodes) {
  nodes->push_back(node);
  int visited = 0;
  if (!node->is_structured()) return;
  for (Json& child : *node) {
    if (++visited > 8) break;
    CollectNodes(&child, nodes);
  }
}

TEST(HostileJsonTest, SurvivesAnyFieldOfAnyOtherType) {
  const Json junk = Json::parse(
      R"([null, true, -1, 1e300, 4294967296, "", "x", "(", [], {}, [[]], {"type": "Sequence"}])");
  const std::vector<std::string> texts = {"", "Hello <s> w\u00f6rld 123 \n", "\xFF"};
  for (const char* name : {"dialect", "llama2", "words", "unigram_precompiled", "llama3"}) {
    Json json = golden::ReadGoldenJson("hf_" + std::string(name) + ".json")["tokenizer"];
    std::vector<Json*> nodes;
    CollectNodes(&json, &nodes);
    std::mt19937 random(13);
    for (Json* node : nodes) {
      if (node == &json) continue;
      Json saved = std::move(*node);  // Its children keep their addresses.
      *node = junk[random() % junk.size()];
      const auto tokenizer = Tokenizer::FromHuggingFace(json.dump(), "");
      for (const std::string& text : texts) {
        if (!tokenizer.ok()) break;
        const auto ids = (*tokenizer)->Encode(text, {});
        if (ids.ok()) (*tokenizer)->Decode(*ids, false);
      }
      *node = std::move(saved);
    }
  }
}

TEST(HostileGgufTest, SurvivesAnyKeyOfAnyOtherType) {
  const std::vector<MetadataValue> junk = {true,     int64_t{-5},      int64_t{1} << 50,
                                           1e300,    std::string("x"), std::vector<bool>{true},
                                           Ints{-1}, Floats{0.5},      Strings{"", "a"}};
  const auto sources = {ByteLevel(), SentencePiece(),
                        golden::ToMetadata(golden::ReadGoldenJson("sp_t5.json")["metadata"])};
  for (const Metadata& source : sources) {
    for (const auto& [key, value] : source.values) {
      for (const MetadataValue& bad : junk) {
        Metadata metadata = source;
        metadata.values[key] = bad;
        const auto tokenizer = Tokenizer::FromGguf(metadata);
        if (!tokenizer.ok()) continue;
        EXPECT_TRUE((*tokenizer)->Encode("a <s> b\n", {}).ok());
      }
    }
  }
}

}  // namespace
}  // namespace tandem
