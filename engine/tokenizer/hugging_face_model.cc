#include "engine/tokenizer/hugging_face_model.h"

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/bpe_model.h"
#include "engine/tokenizer/unigram_model.h"

namespace tandem {
namespace {

constexpr absl::string_view kModel = "tokenizer.json: model";

// Puts a token at its id, growing `tokens` with undefined ones.
absl::Status PlaceToken(absl::string_view where, int64_t id, Token token,
                        std::vector<Token>* tokens) {
  if (id < 0 || id >= kMaxTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": token \"", token.text, "\" has id ", id, ", which is out of range"));
  }
  if (id >= static_cast<int64_t>(tokens->size())) tokens->resize(id + 1);
  Token& place = (*tokens)[id];
  if (place.kind != TokenKind::kUndefined && place.text != token.text) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": id ", id, " belongs to both \"",
                                                   place.text, "\" and \"", token.text, "\""));
  }
  token.in_model = token.in_model || (place.in_model && token.kind == TokenKind::kUserDefined);
  token.score = place.kind == TokenKind::kUndefined ? token.score : place.score;
  place = std::move(token);
  return absl::OkStatus();
}

// BPE: {"text": id, ...}
absl::Status ReadVocabObject(const Json& vocab, std::vector<Token>* tokens) {
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_integer()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kModel, ": the id of token \"", text, "\" is a ", id.type_name()));
    }
    RETURN_IF_ERROR(PlaceToken(
        kModel, id.get<int64_t>(),
        {.text = text, .found_as = "", .kind = TokenKind::kNormal, .in_model = true}, tokens));
  }
  return absl::OkStatus();
}

// Unigram: [["text", score], ...]
absl::Status ReadVocabList(const Json& vocab, std::vector<Token>* tokens) {
  for (const Json& entry : vocab) {
    const size_t id = tokens->size();
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number() ||
        !std::isfinite(entry[1].get<double>())) {
      return absl::InvalidArgumentError(
          absl::StrCat(kModel, ": vocab entry ", id, " is not a text and a finite score"));
    }
    tokens->push_back({.text = entry[0].get<std::string>(),
                       .found_as = "",
                       .score = entry[1].get<double>(),
                       .kind = TokenKind::kNormal,
                       .in_model = true});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ModelType(const Json& model) {
  if (FindField(model, "type") != nullptr) return StringField(model, "type", kModel);
  // Files of the library's first years do not say.
  return FindField(model, "merges") != nullptr ? "BPE" : "Unigram";
}

// "a b" or, since 2024, ["a", "b"].
absl::StatusOr<BpeModel::MergePair> ReadMerge(const Json& merge, size_t rank) {
  if (merge.is_string()) {
    const auto& line = merge.get_ref<const std::string&>();
    const size_t space = line.find(' ');
    if (space != std::string::npos && line.find(' ', space + 1) == std::string::npos) {
      return BpeModel::MergePair(line.substr(0, space), line.substr(space + 1));
    }
  } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
             merge[1].is_string()) {
    return BpeModel::MergePair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  return absl::InvalidArgumentError(absl::StrCat(kModel, ": merge ", rank, " is not two tokens"));
}

absl::Status CheckUnsupportedBpe(const Json& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json* field = FindField(model, key);
    if (field != nullptr && *field != Json("")) {
      return absl::UnimplementedError(absl::StrCat(kModel, " BPE: ", key, " is not supported"));
    }
  }
  const Json* dropout = FindField(model, "dropout");
  if (dropout != nullptr && *dropout != 0) {
    return absl::UnimplementedError(absl::StrCat(kModel, " BPE: dropout is not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<UnknownPolicy> ReadBpeUnknown(const Json& model, const Vocabulary& vocabulary) {
  UnknownPolicy policy;
  ASSIGN_OR_RETURN(policy.byte_fallback, BoolFieldOr(model, "byte_fallback", false, kModel));
  ASSIGN_OR_RETURN(policy.fuse, BoolFieldOr(model, "fuse_unk", false, kModel));
  if (FindField(model, "unk_token") == nullptr) return policy;
  ASSIGN_OR_RETURN(const std::string text, StringField(model, "unk_token", kModel));
  policy.unknown_id = vocabulary.Find(text);
  if (!policy.unknown_id.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kModel, ": unk_token \"", text, "\" is not in the vocabulary"));
  }
  return policy;
}

absl::Status ReadBpe(const Json& model, TokenizerParts* parts) {
  RETURN_IF_ERROR(CheckUnsupportedBpe(model));
  BpeModel::Options options;
  ASSIGN_OR_RETURN(options.ignore_merges, BoolFieldOr(model, "ignore_merges", false, kModel));
  ASSIGN_OR_RETURN(options.unknown, ReadBpeUnknown(model, *parts->vocabulary));
  ASSIGN_OR_RETURN(const Json* list, ArrayField(model, "merges", kModel));
  std::vector<BpeModel::MergePair> merges;
  merges.reserve(list->size());
  for (const Json& item : *list) {
    ASSIGN_OR_RETURN(BpeModel::MergePair merge, ReadMerge(item, merges.size()));
    merges.push_back(std::move(merge));
  }
  ASSIGN_OR_RETURN(parts->model, BpeModel::Create(*parts->vocabulary, merges, options));
  return absl::OkStatus();
}

absl::Status ReadUnigram(const Json& model, TokenizerParts* parts) {
  UnknownPolicy policy;
  ASSIGN_OR_RETURN(policy.byte_fallback, BoolFieldOr(model, "byte_fallback", false, kModel));
  if (FindField(model, "unk_id") != nullptr) {
    ASSIGN_OR_RETURN(const int64_t id, IntField(model, "unk_id", kModel));
    if (!parts->vocabulary->Contains(id)) {
      return absl::InvalidArgumentError(
          absl::StrCat(kModel, ": unk_id ", id, " is outside the vocabulary"));
    }
    policy.unknown_id = static_cast<int32_t>(id);
  }
  parts->model = std::make_unique<UnigramModel>(*parts->vocabulary, policy);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadVocabulary(const Json& model, absl::Span<const AddedEntry> added,
                            TokenizerParts* parts) {
  ASSIGN_OR_RETURN(const std::string type, ModelType(model));
  if (type != "BPE" && type != "Unigram") {
    return absl::UnimplementedError(absl::StrCat(kModel, " ", type, " is not supported"));
  }
  const Json* vocab = FindField(model, "vocab");
  if (vocab == nullptr || !(type == "BPE" ? vocab->is_object() : vocab->is_array())) {
    return absl::InvalidArgumentError(absl::StrCat(kModel, " ", type, ": \"vocab\" is ",
                                                   vocab == nullptr ? "absent" : "malformed"));
  }
  std::vector<Token> tokens;
  RETURN_IF_ERROR(type == "BPE" ? ReadVocabObject(*vocab, &tokens)
                                : ReadVocabList(*vocab, &tokens));
  for (const auto& [token, content, normalized] : added) {
    RETURN_IF_ERROR(
        PlaceToken(kAddedTokens, token.id,
                   {.text = content,
                    .found_as = token.text == content ? "" : token.text,
                    .kind = token.special ? TokenKind::kControl : TokenKind::kUserDefined},
                   &tokens));
  }
  ASSIGN_OR_RETURN(parts->vocabulary, Vocabulary::Create(std::move(tokens)));
  return absl::OkStatus();
}

absl::Status ReadModel(const Json& model, TokenizerParts* parts) {
  ASSIGN_OR_RETURN(const std::string type, ModelType(model));
  return type == "BPE" ? ReadBpe(model, parts) : ReadUnigram(model, parts);
}

}  // namespace tandem
