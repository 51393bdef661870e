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
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"
    R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386})"
    R"(\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F})"
    R"(\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA})"
    R"(\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D})"
    R"(\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4})"
    R"(\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3})"
    R"(\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D})"
    R"(\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"
    R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D})"
    R"(\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E})"
    R"(\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A})"
    R"(\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
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
