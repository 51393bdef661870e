#include "engine/tokenizer/jinja_parser.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_expression_parser.h"
#include "engine/tokenizer/jinja_lexer.h"
#include "engine/tokenizer/jinja_token_stream.h"

namespace tandem::jinja {
namespace {

constexpr size_t kMaxSourceBytes = 1 << 20;
// Python, for which Jinja writes code, gives up at 100 levels of indentation.
constexpr int kMaxBlockNesting = 90;

using EndTags = std::initializer_list<absl::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : stream_(std::move(tokens)), expressions_(&stream_) {}

  absl::StatusOr<std::unique_ptr<Template>> Parse() {
    auto result = std::make_unique<Template>();
    ASSIGN_OR_RETURN(result->body, ParseBody({}));
    return result;
  }

 private:
  // Statements up to a tag whose name is in `end_tags`; the stream is then on that name. With no
  // end tags: up to the end of the template.
  absl::StatusOr<Body> ParseBody(EndTags end_tags) {
    Body body;
    while (true) {
      const int line = stream_.line();
      switch (stream_.current().type) {
        case TokenType::kData:
          Add(line, Text{stream_.Take().text}, &body);
          break;
        case TokenType::kVariableBegin:
          RETURN_IF_ERROR(ParsePrint(&body));
          break;
        case TokenType::kBlockBegin:
          stream_.Take();
          if (IsOneOf(end_tags, stream_.current())) return body;
          RETURN_IF_ERROR(ParseTag(end_tags, &body));
          break;
        default:
          if (end_tags.size() == 0) return body;
          return SyntaxError(line, absl::StrCat("Unexpected end of template. Jinja was looking for "
                                                "the following tags: '",
                                                absl::StrJoin(end_tags, "' or '"), "'."));
      }
    }
  }

  static bool IsOneOf(EndTags tags, const Token& token) {
    return token.type == TokenType::kName &&
           std::find(tags.begin(), tags.end(), token.text) != tags.end();
  }

  static void Add(int line, Statement::Node node, Body* body) {
    body->push_back(std::make_unique<Statement>(Statement{line, std::move(node)}));
  }

  // The rest of an opening tag, and the body up to one of `end_tags`.
  absl::StatusOr<Body> ParseBlock(EndTags end_tags) {
    stream_.TakeOperator(":");
    RETURN_IF_ERROR(stream_.ExpectBlockEnd());
    if (nesting_ == kMaxBlockNesting) {
      return SyntaxError(stream_.line(), "the statements nest too deeply");
    }
    ++nesting_;
    absl::StatusOr<Body> body = ParseBody(end_tags);
    --nesting_;
    return body;
  }

  // The same, and past the name of the only end tag.
  absl::StatusOr<Body> ParseWholeBlock(absl::string_view end_tag) {
    ASSIGN_OR_RETURN(Body body, ParseBlock({end_tag}));
    stream_.Take();
    return body;
  }

  absl::Status ParsePrint(Body* body) {
    const int line = stream_.Take().line;
    ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple());
    if (stream_.current().type != TokenType::kVariableEnd) {
      return stream_.Unexpected("end of print statement");
    }
    stream_.Take();
    Add(line, Print{std::move(value)}, body);
    return absl::OkStatus();
  }

  // One statement, from its name to the end of its last tag.
  absl::Status ParseTag(EndTags end_tags, Body* body) {
    const Token& token = stream_.current();
    const int line = token.line;
    if (token.type != TokenType::kName) return SyntaxError(line, "tag name expected");
    if (token.text == "print") {
      RETURN_IF_ERROR(ParsePrintTag(body));
    } else {
      ASSIGN_OR_RETURN(Statement::Node node, ParseStatement(end_tags));
      Add(line, std::move(node), body);
    }
    return stream_.ExpectBlockEnd();
  }

  absl::StatusOr<Statement::Node> ParseStatement(EndTags end_tags) {
    const Token& tag = stream_.Take();
    if (tag.text == "for") return ParseFor(tag.line);
    if (tag.text == "if") return ParseIf(tag.line);
    if (tag.text == "set") return ParseSet();
    if (tag.text == "macro") return ParseMacro();
    if (tag.text == "call") return ParseCallBlock(tag.line);
    if (tag.text == "generation") return ParseGeneration();
    if (tag.text == "filter") return ParseFilterBlock();
    if (tag.text == "with") return ParseWith();
    if (tag.text == "break") return ParseLoopControl(tag, Break{});
    if (tag.text == "continue") return ParseLoopControl(tag, Continue{});
    for (const absl::string_view known :
         {"extends", "include", "import", "from", "block", "autoescape"}) {
      if (tag.text == known) {
        return absl::UnimplementedError(absl::StrCat(
            "chat template, line ", tag.line, ": the tag '", tag.text, "' is not supported"));
      }
    }
    const std::string looking = end_tags.size() == 0
                                    ? ""
                                    : absl::StrCat(" Jinja was looking for the following tags: '",
                                                   absl::StrJoin(end_tags, "' or '"), "'.");
    return SyntaxError(tag.line,
                       absl::StrCat("Encountered unknown tag '", tag.text, "'.", looking));
  }

  absl::Status ParsePrintTag(Body* body) {
    const int line = stream_.Take().line;
    for (bool first = true; stream_.current().type != TokenType::kBlockEnd; first = false) {
      if (!first) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseExpression());
      Add(line, Print{std::move(value)}, body);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Statement::Node> ParseFor(int line) {
    For loop;
    ASSIGN_OR_RETURN(loop.target, expressions_.ParseTarget(/*with_namespace=*/false, "in"));
    if (AssignsTo(loop.target, "loop")) {
      return SyntaxError(line, "Can't assign to special loop variable in for-loop target");
    }
    loop.test_target = loop.target;
    if (!stream_.TakeName("in")) return stream_.Unexpected("in");
    ASSIGN_OR_RETURN(loop.iterable,
                     expressions_.ParseTuple(/*with_conditional=*/false, "recursive"));
    if (stream_.TakeName("if")) {
      ASSIGN_OR_RETURN(loop.test, expressions_.ParseExpression());
    }
    loop.recursive = stream_.TakeName("recursive");
    ++loop_nesting_;
    absl::StatusOr<Body> body = ParseBlock({"endfor", "else"});
    --loop_nesting_;
    RETURN_IF_ERROR(body.status());
    loop.body = *std::move(body);
    if (stream_.Take().text == "else") {
      // A break here belongs to the loop around this one, unless a recursive loop is a function.
      const int outer_loops = std::exchange(loop_nesting_, loop.recursive ? 0 : loop_nesting_);
      absl::StatusOr<Body> otherwise = ParseWholeBlock("endfor");
      loop_nesting_ = outer_loops;
      RETURN_IF_ERROR(otherwise.status());
      loop.otherwise = *std::move(otherwise);
    }
    return loop;
  }

  static bool AssignsTo(const Target& target, absl::string_view name) {
    if (!target.is_tuple) return target.name == name && !target.attribute.has_value();
    return std::any_of(target.parts.begin(), target.parts.end(),
                       [name](const Target& part) { return AssignsTo(part, name); });
  }

  absl::StatusOr<Statement::Node> ParseIf(int line) {
    If conditional;
    while (true) {
      If::Branch branch;
      branch.line = line;
      ASSIGN_OR_RETURN(branch.test, expressions_.ParseTuple(/*with_conditional=*/false));
      ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
      conditional.branches.push_back(std::move(branch));
      const Token& token = stream_.Take();
      line = token.line;
      if (token.text == "elif") continue;
      if (token.text == "else") {
        ASSIGN_OR_RETURN(conditional.otherwise, ParseWholeBlock("endif"));
      }
      return conditional;
    }
  }

  absl::StatusOr<Statement::Node> ParseSet() {
    ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget(/*with_namespace=*/true));
    if (loop_nesting_ > 0 && AssignsTo(target, "loop")) {
      return SyntaxError(target.line, "Can't assign to special loop variable in for-loop target");
    }
    if (stream_.TakeOperator("=")) {
      ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseTuple());
      return Set{std::move(target), std::move(value)};
    }
    SetBlock block;
    block.target = std::move(target);
    if (stream_.current().IsOperator("|")) {
      ASSIGN_OR_RETURN(block.filter, expressions_.ParseFilters(MakeBlockText(), false));
    }
    ASSIGN_OR_RETURN(block.body, ParseWholeBlock("endset"));
    return block;
  }

  ExpressionPtr MakeBlockText() const {
    auto expression = std::make_unique<Expression>();
    expression->line = stream_.line();
    expression->node = BlockText{};
    return expression;
  }

  absl::Status ParseSignature(MacroDefinition* definition) {
    RETURN_IF_ERROR(stream_.ExpectOperator("("));
    bool has_default = false;
    while (!stream_.current().IsOperator(")")) {
      if (!definition->parameters.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      MacroDefinition::Parameter parameter;
      const int line = stream_.line();
      ASSIGN_OR_RETURN(parameter.name, stream_.ExpectName());
      for (const auto& other : definition->parameters) {
        if (other.name == parameter.name) {
          return SyntaxError(line, absl::StrCat("duplicate argument '", other.name, "'"));
        }
      }
      if (stream_.TakeOperator("=")) {
        ASSIGN_OR_RETURN(parameter.default_value, expressions_.ParseExpression());
        has_default = true;
      } else if (has_default) {
        return SyntaxError(line, "non-default argument follows default argument");
      }
      definition->parameters.push_back(std::move(parameter));
    }
    return stream_.ExpectOperator(")");
  }

  // The body of what becomes a function: a break inside has no loop.
  absl::Status ParseFunctionBody(absl::string_view end_tag, MacroDefinition* definition) {
    const int outer_loops = std::exchange(loop_nesting_, 0);
    absl::StatusOr<Body> body = ParseWholeBlock(end_tag);
    loop_nesting_ = outer_loops;
    RETURN_IF_ERROR(body.status());
    definition->body = *std::move(body);
    return absl::OkStatus();
  }

  absl::StatusOr<Statement::Node> ParseMacro() {
    Macro macro;
    ASSIGN_OR_RETURN(macro.definition.name, stream_.ExpectName());
    RETURN_IF_ERROR(ParseSignature(&macro.definition));
    RETURN_IF_ERROR(ParseFunctionBody("endmacro", &macro.definition));
    return macro;
  }

  absl::StatusOr<Statement::Node> ParseCallBlock(int line) {
    CallBlock block;
    block.definition.name = "caller";
    if (stream_.current().IsOperator("(")) RETURN_IF_ERROR(ParseSignature(&block.definition));
    ASSIGN_OR_RETURN(block.call, expressions_.ParseExpression());
    if (!std::holds_alternative<Call>(block.call->node)) {
      return SyntaxError(line, "expected call");
    }
    RETURN_IF_ERROR(ParseFunctionBody("endcall", &block.definition));
    return block;
  }

  absl::StatusOr<Statement::Node> ParseGeneration() {
    CallBlock block;
    block.definition.name = "caller";
    RETURN_IF_ERROR(ParseFunctionBody("endgeneration", &block.definition));
    return block;
  }

  absl::StatusOr<Statement::Node> ParseFilterBlock() {
    FilterBlock block;
    ASSIGN_OR_RETURN(block.filter,
                     expressions_.ParseFilters(MakeBlockText(), /*first_inline=*/true));
    ASSIGN_OR_RETURN(block.body, ParseWholeBlock("endfilter"));
    return block;
  }

  absl::StatusOr<Statement::Node> ParseWith() {
    With with;
    while (stream_.current().type != TokenType::kBlockEnd) {
      if (!with.variables.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
      ASSIGN_OR_RETURN(Target target, expressions_.ParseTarget(/*with_namespace=*/false));
      RETURN_IF_ERROR(stream_.ExpectOperator("="));
      ASSIGN_OR_RETURN(ExpressionPtr value, expressions_.ParseExpression());
      with.variables.emplace_back(std::move(target), std::move(value));
    }
    ASSIGN_OR_RETURN(with.body, ParseWholeBlock("endwith"));
    return with;
  }

  absl::StatusOr<Statement::Node> ParseLoopControl(const Token& tag, Statement::Node node) {
    if (loop_nesting_ > 0) return node;
    return SyntaxError(tag.line, absl::StrCat("'", tag.text, "' outside loop"));
  }

  TokenStream stream_;
  ExpressionParser expressions_;
  int nesting_ = 0;       // of blocks
  int loop_nesting_ = 0;  // of loops in the function at hand
};

}  // namespace

absl::StatusOr<std::unique_ptr<Template>> ParseTemplate(absl::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return absl::InvalidArgumentError(absl::StrCat("chat template: the source has ", source.size(),
                                                   " bytes, the limit is ", kMaxSourceBytes));
  }
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).Parse();
}

}  // namespace tandem::jinja
