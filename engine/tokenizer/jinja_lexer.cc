#include "engine/tokenizer/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_literal.h"
#include "engine/tokenizer/jinja_text.h"
#include "engine/tokenizer/utf8.h"

namespace tandem::jinja {
namespace {

// Longer ones first.
constexpr std::array<absl::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

// The source with every line break as \n, and without one at the end.
std::string NormalizeSource(absl::string_view source) {
  std::string text = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (absl::EndsWith(text, "\n")) text.pop_back();
  return text;
}

size_t SkipSpace(absl::string_view source, size_t at) {
  while (at < source.size()) {
    const Utf8Character character = ReadUtf8(source.substr(at));
    if (!IsSpace(character.code_point)) break;
    at += character.num_bytes;
  }
  return at;
}

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (position_ < source_.size()) RETURN_IF_ERROR(LexRoot());
    tokens_.push_back({.type = TokenType::kEnd, .line = line_, .text = {}});
    return std::move(tokens_);
  }

 private:
  bool StartsWith(absl::string_view text) const {
    return absl::StartsWith(source_.substr(position_), text);
  }

  // Moves to `end` and counts the lines on the way.
  void MoveTo(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + position_, source_.begin() + end, '\n'));
    position_ = end;
  }

  void Add(TokenType type, absl::string_view text, int line) {
    tokens_.push_back({.type = type, .line = line, .text = std::string(text)});
  }

  // Text up to the next tag, then the tag.
  absl::Status LexRoot() {
    size_t tag = position_;
    while (tag < source_.size() && !IsTagStart(tag)) ++tag;
    if (tag == source_.size()) {
      Add(TokenType::kData, source_.substr(position_), line_);
      position_ = tag;
      return absl::OkStatus();
    }
    AddText(tag, tag + 2, /*is_variable=*/source_[tag + 1] == '{');
    const char kind = source_[tag + 1];
    const int line = line_;
    MoveTo(tag + 2);
    const bool has_sign =
        position_ < source_.size() && (source_[position_] == '-' || source_[position_] == '+');
    if (has_sign) MoveTo(position_ + 1);
    const size_t raw = kind == '%' ? FindRawBegin(position_) : kNotFound;
    if (raw != kNotFound) return LexRaw(raw, line);
    if (kind == '#') return SkipComment(line);
    Add(kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, "", line);
    return LexTag(kind == '{', line);
  }

  bool IsTagStart(size_t at) const {
    if (source_[at] != '{' || at + 1 >= source_.size()) return false;
    const char next = source_[at + 1];
    return next == '%' || next == '{' || next == '#';
  }

  // Adds the text before the tag at `tag`, stripped as the sign after `sign_at` says: '-' takes all
  // whitespace, '+' none, and else (lstrip_blocks) a statement or comment that is the first thing
  // on its line takes the whitespace before it on that line.
  void AddText(size_t tag, size_t sign_at, bool is_variable) {
    const bool at_line_start = position_ == 0 || source_[position_ - 1] == '\n';
    absl::string_view text = source_.substr(position_, tag - position_);
    const char sign = sign_at < source_.size() ? source_[sign_at] : '\0';
    if (sign == '-') {
      text = Strip(text, {.left = false});
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == absl::string_view::npos ? 0 : newline + 1;
      const absl::string_view indent = text.substr(line_begin);
      if ((line_begin > 0 || at_line_start) && Strip(indent, {}).empty()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) Add(TokenType::kData, text, line_);
    MoveTo(tag);
  }

  static constexpr size_t kNotFound = absl::string_view::npos;

  // End of "raw %}" that begins at `at`, or kNotFound.
  size_t FindRawBegin(size_t at) const {
    at = SkipSpace(source_, at);
    if (!absl::StartsWith(source_.substr(at), "raw")) return kNotFound;
    at = SkipSpace(source_, at + 3);
    if (absl::StartsWith(source_.substr(at), "-%}")) return SkipSpace(source_, at + 3);
    return absl::StartsWith(source_.substr(at), "%}") ? at + 2 : kNotFound;
  }

  // End of "endraw %}" that begins at `at`, or kNotFound.
  size_t FindRawEnd(size_t at) const {
    at = SkipSpace(source_, at);
    if (!absl::StartsWith(source_.substr(at), "endraw")) return kNotFound;
    return FindTagEnd(SkipSpace(source_, at + 6), "%}");
  }

  // End of the closing tag `close` with its sign and the whitespace it takes, or kNotFound.
  size_t FindTagEnd(size_t at, absl::string_view close) const {
    const absl::string_view rest = source_.substr(at);
    if (absl::StartsWith(rest, absl::StrCat("-", close))) return SkipSpace(source_, at + 3);
    if (absl::StartsWith(rest, absl::StrCat("+", close))) return at + 3;
    if (!absl::StartsWith(rest, close)) return kNotFound;
    const bool newline = at + 2 < source_.size() && source_[at + 2] == '\n';
    return at + (newline ? 3 : 2);
  }

  absl::Status LexRaw(size_t begin, int line) {
    MoveTo(begin);
    for (size_t at = source_.find("{%", position_); at != kNotFound;
         at = source_.find("{%", at + 2)) {
      const bool has_sign =
          at + 2 < source_.size() && (source_[at + 2] == '-' || source_[at + 2] == '+');
      const size_t end = FindRawEnd(at + (has_sign ? 3 : 2));
      if (end == kNotFound) continue;
      AddText(at, at + 2, /*is_variable=*/false);
      MoveTo(end);
      return absl::OkStatus();
    }
    if (position_ == source_.size()) return absl::OkStatus();
    return SyntaxError(line, "Missing end of raw directive");
  }

  absl::Status SkipComment(int line) {
    const size_t at = source_.find("#}", position_);
    if (position_ == source_.size()) return absl::OkStatus();  // Jinja forgives it at the very end.
    if (at == kNotFound) return SyntaxError(line, "Missing end of comment tag");
    // The sign belongs to the end tag.
    const bool has_sign = at > position_ && (source_[at - 1] == '-' || source_[at - 1] == '+');
    MoveTo(FindTagEnd(has_sign ? at - 1 : at, "#}"));
    return absl::OkStatus();
  }

  // The inside of {{ }} or {% %} and the closing tag.
  absl::Status LexTag(bool is_variable, int line) {
    while (true) {
      MoveTo(SkipSpace(source_, position_));
      if (position_ == source_.size()) {
        return SyntaxError(line_,
                           absl::StrCat("the tag that begins on line ", line, " is not closed"));
      }
      if (brackets_.empty()) {
        const size_t end = is_variable ? FindVariableEnd() : FindTagEnd(position_, "%}");
        if (end != kNotFound) {
          Add(is_variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, "", line_);
          MoveTo(end);
          return absl::OkStatus();
        }
      }
      RETURN_IF_ERROR(LexToken());
    }
  }

  size_t FindVariableEnd() const {
    if (StartsWith("-}}")) return SkipSpace(source_, position_ + 3);
    return StartsWith("}}") ? position_ + 2 : kNotFound;
  }

  absl::Status LexToken() {
    const char c = source_[position_];
    if (absl::ascii_isdigit(static_cast<unsigned char>(c))) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    const Utf8Character character = ReadUtf8(source_.substr(position_));
    if (IsIdentifierStart(character.code_point)) return LexName();
    return LexOperator();
  }

  absl::Status LexNumber() {
    const absl::StatusOr<NumberLiteral> literal = ReadNumber(source_, position_);
    if (!literal.ok()) return SyntaxError(line_, literal.status().message());
    tokens_.push_back({.type = literal->is_float ? TokenType::kFloat : TokenType::kInteger,
                       .line = line_,
                       .text = std::string(source_.substr(position_, literal->num_bytes)),
                       .integer = literal->integer,
                       .number = literal->number});
    MoveTo(position_ + literal->num_bytes);
    return absl::OkStatus();
  }

  absl::Status LexName() {
    size_t end = position_;
    while (end < source_.size()) {
      const Utf8Character character = ReadUtf8(source_.substr(end));
      if (!IsIdentifierPart(character.code_point)) break;
      end += character.num_bytes;
    }
    Add(TokenType::kName, source_.substr(position_, end - position_), line_);
    MoveTo(end);
    return absl::OkStatus();
  }

  absl::Status LexString(char quote) {
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return SyntaxError(line_, "a string is not closed");
    absl::StatusOr<std::string> text =
        DecodeString(source_.substr(position_ + 1, end - position_ - 1));
    if (!text.ok()) {
      return absl::Status(text.status().code(),
                          SyntaxError(line_, text.status().message()).message());
    }
    Add(TokenType::kString, *text, line_);
    MoveTo(end + 1);
    return absl::OkStatus();
  }

  absl::Status LexOperator() {
    const auto found = std::find_if(kOperators.begin(), kOperators.end(),
                                    [this](absl::string_view op) { return StartsWith(op); });
    if (found == kOperators.end()) {
      const absl::string_view rest = source_.substr(position_);
      return SyntaxError(line_, absl::StrCat("unexpected char '",
                                             rest.substr(0, OffsetOfCodePoint(rest, 1)), "'"));
    }
    RETURN_IF_ERROR(CheckBrackets(*found));
    Add(TokenType::kOperator, *found, line_);
    MoveTo(position_ + found->size());
    return absl::OkStatus();
  }

  // A closing tag counts only outside of brackets.
  absl::Status CheckBrackets(absl::string_view op) {
    static constexpr absl::string_view kOpen = "([{";
    static constexpr absl::string_view kClose = ")]}";
    if (const size_t open = kOpen.find(op); open != kNotFound) brackets_.push_back(kClose[open]);
    if (kClose.find(op) == kNotFound) return absl::OkStatus();
    if (brackets_.empty()) return SyntaxError(line_, absl::StrCat("unexpected '", op, "'"));
    const char expected = brackets_.back();
    brackets_.pop_back();
    if (op[0] == expected) return absl::OkStatus();
    return SyntaxError(
        line_, absl::StrCat("unexpected '", op, "', expected '", std::string(1, expected), "'"));
  }

  const absl::string_view source_;
  size_t position_ = 0;
  int line_ = 1;
  std::string brackets_;  // the closing ones that are due
  std::vector<Token> tokens_;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source) {
  if (!IsValidUtf8(source)) {
    return absl::InvalidArgumentError("chat template: the source is not valid UTF-8");
  }
  const std::string text = NormalizeSource(source);
  return Lexer(text).Run();
}

std::string DescribeToken(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "template data / text";
    case TokenType::kVariableBegin:
      return "begin of print statement";
    case TokenType::kVariableEnd:
      return "end of print statement";
    case TokenType::kBlockBegin:
      return "begin of statement block";
    case TokenType::kBlockEnd:
      return "end of statement block";
    case TokenType::kEnd:
      return "end of template";
    case TokenType::kString:
      return "string";
    default:
      return token.text;
  }
}

absl::Status SyntaxError(int line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("chat template, line ", line, ": ", message));
}

}  // namespace tandem::jinja
