// Reads a tokeniser from the metadata of a GGUF file (keys `tokenizer.ggml.*`).
#include <cmath>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/bpe_model.h"
#include "engine/tokenizer/end_of_turn.h"
#include "engine/tokenizer/pre_tokenizer_patterns.h"
#include "engine/tokenizer/sentencepiece_bpe_model.h"
#include "engine/tokenizer/tokenizer_parts.h"
#include "engine/tokenizer/unigram_model.h"

namespace tandem {
namespace {

constexpr absl::string_view kMetaspace = "\xE2\x96\x81";  // U+2581

constexpr absl::string_view kModelKey = "tokenizer.ggml.model";
constexpr absl::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr absl::string_view kScoresKey = "tokenizer.ggml.scores";
constexpr absl::string_view kKindsKey = "tokenizer.ggml.token_type";
constexpr absl::string_view kMergesKey = "tokenizer.ggml.merges";

// The parts being read, with what decides how they are used.
struct GgufReader {
  const Metadata& metadata;
  TokenizerParts parts;
  bool add_bos = false;  // Defaults of the model kind; the metadata may say otherwise.
  bool add_eos = false;
};

// An array of the metadata, null where the key is absent. INVALID_ARGUMENT for another type.
template <typename T>
absl::StatusOr<const T*> ReadArray(const Metadata& metadata, absl::string_view key) {
  const auto entry = metadata.values.find(key);
  if (entry == metadata.values.end()) return nullptr;
  const T* array = std::get_if<T>(&entry->second);
  if (array == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("metadata key ", key, " is not an array of the expected type"));
  }
  return array;
}

absl::Status CheckLength(absl::string_view key, size_t length, size_t num_tokens) {
  if (length == num_tokens) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, " has ", length, " entries for ", num_tokens, " tokens"));
}

absl::Status ReadScores(const Metadata& metadata, std::vector<Token>* tokens) {
  ASSIGN_OR_RETURN(const auto* scores, ReadArray<std::vector<double>>(metadata, kScoresKey));
  if (scores == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(CheckLength(kScoresKey, scores->size(), tokens->size()));
  for (size_t id = 0; id < tokens->size(); ++id) {
    if (!std::isfinite((*scores)[id])) {
      return absl::InvalidArgumentError(
          absl::StrCat(kScoresKey, ": score of token ", id, " is ", (*scores)[id]));
    }
    (*tokens)[id].score = (*scores)[id];
  }
  return absl::OkStatus();
}

absl::Status ReadKinds(const Metadata& metadata, std::vector<Token>* tokens) {
  ASSIGN_OR_RETURN(const auto* kinds, ReadArray<std::vector<int64_t>>(metadata, kKindsKey));
  if (kinds == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(CheckLength(kKindsKey, kinds->size(), tokens->size()));
  for (size_t id = 0; id < tokens->size(); ++id) {
    const int64_t kind = (*kinds)[id];
    if (kind < 0 || kind > static_cast<int64_t>(TokenKind::kByte)) {
      return absl::InvalidArgumentError(
          absl::StrCat(kKindsKey, ": token ", id, " has unknown type ", kind));
    }
    (*tokens)[id].kind = static_cast<TokenKind>(kind);
  }
  return absl::OkStatus();
}

absl::Status ReadVocabulary(GgufReader* reader) {
  ASSIGN_OR_RETURN(const auto* texts,
                   ReadArray<std::vector<std::string>>(reader->metadata, kTokensKey));
  if (texts == nullptr) {
    return absl::NotFoundError(absl::StrCat("metadata key ", kTokensKey, " is absent"));
  }
  std::vector<Token> tokens(texts->size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    tokens[id].text = (*texts)[id];
    tokens[id].kind = TokenKind::kNormal;
  }
  RETURN_IF_ERROR(ReadScores(reader->metadata, &tokens));
  RETURN_IF_ERROR(ReadKinds(reader->metadata, &tokens));
  for (Token& token : tokens) {
    // Some converters call the end of a turn a plain token.
    if (IsEndOfTurnName(token.text)) token.kind = TokenKind::kControl;
    token.in_model = token.kind == TokenKind::kNormal || token.kind == TokenKind::kUserDefined;
  }
  ASSIGN_OR_RETURN(reader->parts.vocabulary, Vocabulary::Create(std::move(tokens)));
  return absl::OkStatus();
}

void ReadAddedTokens(GgufReader* reader) {
  std::vector<AddedToken> added;
  const Vocabulary& vocabulary = *reader->parts.vocabulary;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const Token& token = vocabulary.at(id);
    const bool special = token.kind == TokenKind::kControl || token.kind == TokenKind::kUnknown;
    if (token.text.empty() || (!special && token.kind != TokenKind::kUserDefined)) continue;
    added.push_back({.id = id, .text = token.text, .special = special});
  }
  reader->parts.raw_added = AddedTokens(std::move(added));
}

// Id under `key`; absent where the key is.
absl::StatusOr<std::optional<int32_t>> ReadId(const GgufReader& reader, absl::string_view key) {
  if (!reader.metadata.Has(key)) return std::nullopt;
  ASSIGN_OR_RETURN(const int64_t id, reader.metadata.GetInt(key));
  if (!reader.parts.vocabulary->Contains(id)) {
    return absl::InvalidArgumentError(absl::StrCat(key, " is ", id, ", outside the vocabulary of ",
                                                   reader.parts.vocabulary->size(), " tokens"));
  }
  return static_cast<int32_t>(id);
}

// Unknown text in the models of SentencePiece.
absl::StatusOr<UnknownPolicy> ReadUnknownPolicy(const GgufReader& reader) {
  const Vocabulary& vocabulary = *reader.parts.vocabulary;
  ASSIGN_OR_RETURN(std::optional<int32_t> unknown_id,
                   ReadId(reader, "tokenizer.ggml.unknown_token_id"));
  for (int32_t id = 0; id < vocabulary.size() && !unknown_id.has_value(); ++id) {
    if (vocabulary.at(id).kind == TokenKind::kUnknown) unknown_id = id;
  }
  return UnknownPolicy{
      .byte_fallback = vocabulary.FindByte(0).has_value(), .fuse = true, .unknown_id = unknown_id};
}

absl::StatusOr<std::vector<BpeModel::MergePair>> ReadMerges(const Metadata& metadata) {
  ASSIGN_OR_RETURN(const auto* lines, ReadArray<std::vector<std::string>>(metadata, kMergesKey));
  if (lines == nullptr) {
    return absl::NotFoundError(absl::StrCat("metadata key ", kMergesKey, " is absent"));
  }
  std::vector<BpeModel::MergePair> merges;
  merges.reserve(lines->size());
  for (const std::string& line : *lines) {
    const size_t space = line.find(' ', 1);  // The left part may itself be a space.
    if (line.empty() || space == std::string::npos || space + 1 == line.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kMergesKey, ": entry ", merges.size(), " \"", line, "\" is not two tokens"));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

// "gpt2": byte-level BPE.
absl::Status ReadByteLevelBpe(GgufReader* reader) {
  TokenizerParts& parts = reader->parts;
  ASSIGN_OR_RETURN(const GgufPreTokenizer known,
                   FindGgufPreTokenizer(reader->metadata.GetStringOr("tokenizer.ggml.pre", "")));
  std::vector<PreTokenizerStep> steps;
  for (const absl::string_view pattern : known.patterns) {
    ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
    steps.emplace_back(SplitStep{.pattern = std::move(regex)});
  }
  steps.emplace_back(ByteLevelStep{});
  parts.pre_tokenizer = PreTokenizer(std::move(steps));
  parts.decoder = TokenDecoder({ByteLevelDecodeStep{}}, {});
  ASSIGN_OR_RETURN(const std::vector<BpeModel::MergePair> merges, ReadMerges(reader->metadata));
  ASSIGN_OR_RETURN(parts.model, BpeModel::Create(*parts.vocabulary, merges,
                                                 {.ignore_merges = known.ignore_merges}));
  reader->add_bos = known.add_bos;
  return absl::OkStatus();
}

// Spaces as U+2581, one of them in front.
absl::Status AddMetaspace(const GgufReader& reader, bool default_prefix,
                          std::vector<NormalizerStep>* steps, TokenDecoder* decoder) {
  const bool prefix = reader.metadata.GetBoolOr("tokenizer.ggml.add_space_prefix", default_prefix);
  if (prefix) steps->emplace_back(PrependStep{std::string(kMetaspace)});
  ASSIGN_OR_RETURN(Regex space, Regex::Literal(" "));
  steps->emplace_back(ReplaceStep{std::move(space), std::string(kMetaspace)});
  *decoder =
      TokenDecoder({ReplaceDecodeStep{std::string(kMetaspace), " "}, ByteFallbackDecodeStep{}},
                   {.num_leading_spaces = prefix ? 1 : 0});
  return absl::OkStatus();
}

// "llama": SentencePiece BPE.
absl::Status ReadSentencePieceBpe(GgufReader* reader) {
  TokenizerParts& parts = reader->parts;
  std::vector<NormalizerStep> steps;
  RETURN_IF_ERROR(AddMetaspace(*reader, /*default_prefix=*/true, &steps, &parts.decoder));
  parts.normalizer = Normalizer(std::move(steps));
  ASSIGN_OR_RETURN(const UnknownPolicy unknown, ReadUnknownPolicy(*reader));
  parts.model = std::make_unique<SentencePieceBpeModel>(*parts.vocabulary, unknown);
  reader->add_bos = true;
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadCharacterMap(const Metadata& metadata) {
  constexpr absl::string_view kKey = "tokenizer.ggml.precompiled_charsmap";
  ASSIGN_OR_RETURN(const auto* bytes, ReadArray<std::vector<int64_t>>(metadata, kKey));
  std::string blob;
  if (bytes == nullptr) return blob;
  for (const int64_t byte : *bytes) {
    if (byte < -128 || byte > 255) {
      return absl::InvalidArgumentError(absl::StrCat(kKey, ": ", byte, " is not a byte"));
    }
    blob.push_back(static_cast<char>(byte));
  }
  return blob;
}

// "t5": SentencePiece unigram.
absl::Status ReadUnigram(GgufReader* reader) {
  TokenizerParts& parts = reader->parts;
  if (reader->metadata.GetBoolOr("tokenizer.ggml.treat_whitespace_as_suffix", false)) {
    return absl::UnimplementedError("tokenizer.ggml.treat_whitespace_as_suffix is not supported");
  }
  std::vector<NormalizerStep> steps;
  ASSIGN_OR_RETURN(const std::string blob, ReadCharacterMap(reader->metadata));
  if (!blob.empty()) {
    ASSIGN_OR_RETURN(CharacterMap map, CharacterMap::Parse(blob));
    steps.emplace_back(std::move(map));
  }
  if (reader->metadata.GetBoolOr("tokenizer.ggml.remove_extra_whitespaces", false)) {
    for (const auto& [pattern, replacement] :
         {std::pair("\\A +| +\\z", ""), std::pair(" {2,}", " ")}) {
      ASSIGN_OR_RETURN(Regex spaces, Regex::Compile(pattern));
      steps.emplace_back(ReplaceStep{std::move(spaces), replacement});
    }
  }
  RETURN_IF_ERROR(AddMetaspace(*reader, /*default_prefix=*/false, &steps, &parts.decoder));
  parts.normalizer = Normalizer(std::move(steps));
  ASSIGN_OR_RETURN(const UnknownPolicy unknown, ReadUnknownPolicy(*reader));
  parts.model = std::make_unique<UnigramModel>(*parts.vocabulary, unknown);
  reader->add_eos = true;
  return absl::OkStatus();
}

absl::Status ReadModel(GgufReader* reader) {
  ASSIGN_OR_RETURN(const std::string model, reader->metadata.GetString(kModelKey));
  if (model == "gpt2") return ReadByteLevelBpe(reader);
  if (model == "llama") return ReadSentencePieceBpe(reader);
  if (model == "t5") return ReadUnigram(reader);
  return absl::UnimplementedError(absl::StrCat(
      kModelKey, " \"", model, "\"", model == "bert" ? " (WordPiece)" : "", " is not supported"));
}

// The id under `key`, else what SentencePiece has at `fallback` if that is a control token.
absl::StatusOr<std::optional<int32_t>> ReadEdgeId(const GgufReader& reader, absl::string_view key,
                                                  int32_t fallback) {
  ASSIGN_OR_RETURN(const std::optional<int32_t> id, ReadId(reader, key));
  if (id.has_value() || reader.metadata.GetStringOr(kModelKey, "") != "llama") return id;
  const Vocabulary& vocabulary = *reader.parts.vocabulary;
  const bool is_control =
      vocabulary.Contains(fallback) && vocabulary.at(fallback).kind == TokenKind::kControl;
  return is_control ? std::optional<int32_t>(fallback) : std::nullopt;
}

absl::Status ReadSpecialTokens(GgufReader* reader) {
  TokenizerParts& parts = reader->parts;
  ASSIGN_OR_RETURN(parts.bos_id, ReadEdgeId(*reader, "tokenizer.ggml.bos_token_id", 1));
  ASSIGN_OR_RETURN(parts.eos_id, ReadEdgeId(*reader, "tokenizer.ggml.eos_token_id", 2));
  std::vector<int32_t> named;
  if (parts.bos_id.has_value()) parts.bos_text = parts.vocabulary->at(*parts.bos_id).text;
  if (parts.eos_id.has_value()) {
    parts.eos_text = parts.vocabulary->at(*parts.eos_id).text;
    named.push_back(*parts.eos_id);
  }
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    ASSIGN_OR_RETURN(const std::optional<int32_t> id, ReadId(*reader, key));
    if (id.has_value()) named.push_back(*id);
  }
  parts.end_of_turn_ids = FindEndOfTurnIds(*parts.vocabulary, std::move(named));
  const Metadata& metadata = reader->metadata;
  if (metadata.GetBoolOr("tokenizer.ggml.add_bos_token", reader->add_bos) && parts.bos_id) {
    parts.prefix_ids.push_back(*parts.bos_id);
  }
  if (metadata.GetBoolOr("tokenizer.ggml.add_eos_token", reader->add_eos) && parts.eos_id) {
    parts.suffix_ids.push_back(*parts.eos_id);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerParts> ReadGgufTokenizer(const Metadata& metadata) {
  GgufReader reader{.metadata = metadata, .parts = {}};
  RETURN_IF_ERROR(ReadVocabulary(&reader));
  ReadAddedTokens(&reader);
  RETURN_IF_ERROR(ReadModel(&reader));
  RETURN_IF_ERROR(ReadSpecialTokens(&reader));
  reader.parts.chat_template = metadata.GetStringOr("tokenizer.chat_template", "");
  return std::move(reader.parts);
}

}  // namespace tandem
