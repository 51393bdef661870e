#include "engine/tokenizer/pre_tokenizer_patterns.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

// The patterns are those of the models' own tokenizer.json; which name stands for which is the
// convention of llama.cpp, whose converter writes the name.
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define NEWLINES R"(\s*[\r\n]+)"
#define SPACES R"(\s+(?!\S)|\s+)"
// A word whose upper-case letters come before its lower-case ones: camelCase is two.
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define CASED_WORD(suffix)                                                                    \
  R"([^\r\n\p{L}\p{N}]?)" UPPER "*" LOWER "+" suffix R"(|[^\r\n\p{L}\p{N}]?)" UPPER "+" LOWER \
  "*" suffix

namespace tandem {
namespace {

constexpr absl::string_view kDigit = R"(\p{N})";
constexpr absl::string_view kThreeDigits = R"(\p{N}{1,3})";
constexpr absl::string_view kNewline = R"([\r\n])";
constexpr absl::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr absl::string_view kLlama3 =
    CONTRACTIONS "|" WORD R"(|\p{N}{1,3}|)" SYMBOLS "|" NEWLINES "|" SPACES;
constexpr absl::string_view kQwen2 =
    CONTRACTIONS "|" WORD R"(|\p{N}|)" SYMBOLS "|" NEWLINES "|" SPACES;
constexpr absl::string_view kQwen35 = CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" NEWLINES "|" SPACES;
constexpr absl::string_view kSeedCoder =
    CONTRACTIONS "|" WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" NEWLINES "|" SPACES;
constexpr absl::string_view kTekken =
    CASED_WORD("") R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NEWLINES "|" SPACES;
constexpr absl::string_view kGpt4o =
    CASED_WORD(CONTRACTIONS "?") R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NEWLINES "|" SPACES;
constexpr absl::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
    R"(\s*[\r\n]|)" SPACES;
constexpr absl::string_view kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|)" SPACES;
// Letters with case as of the Unicode version that DeepSeek LLM was made with.
constexpr absl::string_view kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ)"
    R"(Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹ)"
    R"(ℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr absl::string_view kDeepSeekSymbols = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr absl::string_view kDeepSeekCjk = R"([一-龥ࠀ-一가-퟿]+)";
constexpr absl::string_view kDeepSeekV3Cjk = R"([一-龥぀-ゟ゠-ヿ]+)";
constexpr absl::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

using Table = absl::flat_hash_map<absl::string_view, GgufPreTokenizer>;

void AddAll(std::initializer_list<absl::string_view> names, const GgufPreTokenizer& entry,
            Table* table) {
  for (const absl::string_view name : names) table->emplace(name, entry);
}

Table MakeTable() {
  Table table;
  AddAll({"default"}, {{R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}}, &table);
  AddAll({"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "dolma", "jais", "trillion", "granite-docling",
          "exaone4", "gigachat", "mellum", "a.x-4.0"},
         {{kGpt2}}, &table);
  AddAll({"starcoder", "refact", "granite", "command-r", "smollm", "codeshell", "exaone",
          "minerva-7b", "mellum2"},
         {{kDigit, kGpt2}}, &table);
  AddAll({"falcon"}, {{R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}}, &table);
  AddAll({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
         {.patterns = {kLlama3}, .ignore_merges = true, .add_bos = true}, &table);
  AddAll({"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, {{kLlama3}}, &table);
  AddAll({"minicpm5"}, {.patterns = {kThreeDigits, kLlama3}, .ignore_merges = true}, &table);
  AddAll({"qwen2", "qwen3", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2",
          "solar-open", "kormo", "f2llmv2"},
         {{kQwen2}}, &table);
  AddAll({"qwen35"}, {{kQwen35}}, &table);
  AddAll({"seed-coder"}, {{kSeedCoder}}, &table);
  AddAll({"tekken"}, {.patterns = {kTekken}, .ignore_merges = true, .add_bos = true}, &table);
  AddAll({"gpt-4o", "llama4", "kanana2", "minimax-m2", "talkie"}, {{kGpt4o}}, &table);
  AddAll({"tiny_aya", "cohere2moe"}, {{R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o}}, &table);
  AddAll({"bailingmoe", "bailingmoe2", "llada-moe"}, {{kBailing}}, &table);
  AddAll({"deepseek-llm"},
         {{kNewline, kDeepSeekLetters, kDeepSeekSymbols, R"(\s+$)", kDeepSeekCjk, R"(\p{N}+)"}},
         &table);
  AddAll({"deepseek-coder"}, {{kNewline, R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekCjk, kDigit}},
         &table);
  AddAll({"deepseek-v3", "hunyuan-dense", "hy_v4", "joyai-llm"},
         {{kThreeDigits, kDeepSeekV3Cjk, kDeepSeekV3}}, &table);
  AddAll({"bloom", "poro-chat", "gpt3-finnish"}, {{kBloom}}, &table);
  AddAll({"viking"}, {{kBloom, kDigit}}, &table);
  AddAll({"superbpe"}, {{R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}}, &table);
  return table;
}

}  // namespace

const absl::string_view kGpt2Pattern = kGpt2;

absl::StatusOr<GgufPreTokenizer> FindGgufPreTokenizer(absl::string_view name) {
  static const Table& table = *new Table(MakeTable());
  const auto entry = table.find(name.empty() ? "default" : name);
  if (entry == table.end()) {
    return absl::UnimplementedError(
        absl::StrCat("tokenizer.ggml.pre: pre-tokeniser \"", name, "\" is not supported"));
  }
  return entry->second;
}

}  // namespace tandem
