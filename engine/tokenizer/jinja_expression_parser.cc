#include "engine/tokenizer/jinja_expression_parser.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"

namespace tandem::jinja {
namespace {

// Deeper expressions exhaust the stack of Python too.
constexpr int kMaxNesting = 100;
constexpr int kMaxTreeDepth = 400;

std::optional<CompareOperator> FindComparison(const Token& token) {
  static constexpr std::pair<absl::string_view, CompareOperator> kOperators[] = {
      {"==", CompareOperator::kEq}, {"!=", CompareOperator::kNe}, {"<", CompareOperator::kLt},
      {"<=", CompareOperator::kLe}, {">", CompareOperator::kGt},  {">=", CompareOperator::kGe}};
  for (const auto& [symbol, op] : kOperators) {
    if (token.IsOperator(symbol)) return op;
  }
  return std::nullopt;
}

std::optional<BinaryOperator> FindBinary(
    const Token& token,
    std::initializer_list<std::pair<absl::string_view, BinaryOperator>> operators) {
  for (const auto& [symbol, op] : operators) {
    if (token.IsOperator(symbol)) return op;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<ExpressionPtr> ExpressionParser::Make(int line, Expression::Node node) {
  auto expression = std::make_unique<Expression>();
  expression->line = line;
  expression->node = std::move(node);
  int depth = 0;
  ForEachChild(*expression, [&depth](Expression& child) { depth = std::max(depth, child.depth); });
  expression->depth = depth + 1;
  if (expression->depth > kMaxTreeDepth) {
    return SyntaxError(line, "the expression nests too deeply");
  }
  return expression;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseExpression(bool with_conditional) {
  if (nesting_ == kMaxNesting) {
    return SyntaxError(stream_.line(), "the expression nests too deeply");
  }
  ++nesting_;
  absl::StatusOr<ExpressionPtr> expression = with_conditional ? ParseConditional() : ParseOr();
  --nesting_;
  return expression;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseConditional() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr value, ParseOr());
  while (stream_.TakeName("if")) {
    ASSIGN_OR_RETURN(ExpressionPtr test, ParseOr());
    ExpressionPtr otherwise;
    if (stream_.TakeName("else")) {
      ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    ASSIGN_OR_RETURN(
        value, Make(line, Conditional{std::move(test), std::move(value), std::move(otherwise)}));
    line = stream_.line();
  }
  return value;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseOr() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
  while (stream_.TakeName("or")) {
    ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
    ASSIGN_OR_RETURN(left, Make(line, Logical{false, std::move(left), std::move(right)}));
    line = stream_.line();
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseAnd() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
  while (stream_.TakeName("and")) {
    ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
    ASSIGN_OR_RETURN(left, Make(line, Logical{true, std::move(left), std::move(right)}));
    line = stream_.line();
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseNot() {
  const int line = stream_.line();
  int num_nots = 0;
  while (stream_.TakeName("not")) ++num_nots;
  ASSIGN_OR_RETURN(ExpressionPtr operand, ParseComparison());
  for (; num_nots > 0; --num_nots) {
    ASSIGN_OR_RETURN(operand, Make(line, Unary{UnaryOperator::kNot, std::move(operand)}));
  }
  return operand;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseComparison() {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr first, ParseSum());
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
  while (true) {
    std::optional<CompareOperator> op = FindComparison(stream_.current());
    if (stream_.current().IsName("in")) op = CompareOperator::kIn;
    if (stream_.current().IsName("not") && stream_.next().IsName("in")) {
      stream_.Take();
      op = CompareOperator::kNotIn;
    }
    if (!op.has_value()) break;
    stream_.Take();
    ASSIGN_OR_RETURN(ExpressionPtr operand, ParseSum());
    rest.emplace_back(*op, std::move(operand));
  }
  if (rest.empty()) return first;
  return Make(line, Comparison{std::move(first), std::move(rest)});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSum() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr left, ParseConcatenation());
  while (const auto op = FindBinary(stream_.current(),
                                    {{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSub}})) {
    stream_.Take();
    ASSIGN_OR_RETURN(ExpressionPtr right, ParseConcatenation());
    ASSIGN_OR_RETURN(left, Make(line, Binary{*op, std::move(left), std::move(right)}));
    line = stream_.line();
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseConcatenation() {
  const int line = stream_.line();
  Expressions parts;
  do {
    ASSIGN_OR_RETURN(ExpressionPtr part, ParseProduct());
    parts.push_back(std::move(part));
  } while (stream_.TakeOperator("~"));
  if (parts.size() == 1) return std::move(parts[0]);
  return Make(line, Concatenation{std::move(parts)});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseProduct() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr left, ParsePower());
  while (const auto op = FindBinary(stream_.current(), {{"*", BinaryOperator::kMul},
                                                        {"/", BinaryOperator::kDiv},
                                                        {"//", BinaryOperator::kFloorDiv},
                                                        {"%", BinaryOperator::kMod}})) {
    stream_.Take();
    ASSIGN_OR_RETURN(ExpressionPtr right, ParsePower());
    ASSIGN_OR_RETURN(left, Make(line, Binary{*op, std::move(left), std::move(right)}));
    line = stream_.line();
  }
  return left;
}

// Unlike in Python, 2 ** 3 ** 2 is (2 ** 3) ** 2 and -2 ** 2 is (-2) ** 2.
absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePower() {
  int line = stream_.line();
  ASSIGN_OR_RETURN(ExpressionPtr left, ParseUnary());
  while (stream_.TakeOperator("**")) {
    ASSIGN_OR_RETURN(ExpressionPtr right, ParseUnary());
    ASSIGN_OR_RETURN(left,
                     Make(line, Binary{BinaryOperator::kPow, std::move(left), std::move(right)}));
    line = stream_.line();
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseUnary(bool with_filters) {
  const int line = stream_.line();
  ExpressionPtr expression;
  if (stream_.current().IsOperator("-") || stream_.current().IsOperator("+")) {
    std::string signs;
    while (stream_.current().IsOperator("-") || stream_.current().IsOperator("+")) {
      signs += stream_.Take().text;
    }
    ASSIGN_OR_RETURN(expression, ParsePrimary());
    // A method or item binds to the operand of the last sign, and so on outwards.
    ASSIGN_OR_RETURN(expression, ParsePostfix(std::move(expression)));
    for (; !signs.empty(); signs.pop_back()) {
      const auto op = signs.back() == '-' ? UnaryOperator::kNegate : UnaryOperator::kPlus;
      ASSIGN_OR_RETURN(expression, Make(line, Unary{op, std::move(expression)}));
    }
  } else {
    ASSIGN_OR_RETURN(expression, ParsePrimary());
    ASSIGN_OR_RETURN(expression, ParsePostfix(std::move(expression)));
  }
  return with_filters ? ParseFiltersAndTests(std::move(expression)) : std::move(expression);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePrimary() {
  const Token& token = stream_.current();
  const int line = token.line;
  switch (token.type) {
    case TokenType::kName: {
      const std::string name = stream_.Take().text;
      if (name == "true" || name == "True") return Make(line, Literal{Value::Bool(true)});
      if (name == "false" || name == "False") return Make(line, Literal{Value::Bool(false)});
      if (name == "none" || name == "None") return Make(line, Literal{Value()});
      return Make(line, Name{name, {}});
    }
    case TokenType::kString: {
      std::string text;
      while (stream_.current().type == TokenType::kString) text += stream_.Take().text;
      return Make(line, Literal{Value::String(std::move(text))});
    }
    case TokenType::kInteger:
      return Make(line, Literal{Value::Int(stream_.Take().integer)});
    case TokenType::kFloat:
      return Make(line, Literal{Value::Float(stream_.Take().number)});
    default:
      break;
  }
  if (token.IsOperator("(")) return ParseParenthesized();
  if (token.IsOperator("[")) return ParseList();
  if (token.IsOperator("{")) return ParseDict();
  return SyntaxError(line, absl::StrCat("unexpected '", DescribeToken(token), "'"));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseParenthesized() {
  const int line = stream_.Take().line;
  if (stream_.TakeOperator(")")) return Make(line, TupleDisplay{});
  ASSIGN_OR_RETURN(ExpressionPtr inside, ParseTuple());
  RETURN_IF_ERROR(stream_.ExpectOperator(")"));
  return inside;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseList() {
  const int line = stream_.Take().line;
  Expressions items;
  while (!stream_.current().IsOperator("]")) {
    if (!items.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.current().IsOperator("]")) break;
    ASSIGN_OR_RETURN(ExpressionPtr item, ParseExpression());
    items.push_back(std::move(item));
  }
  RETURN_IF_ERROR(stream_.ExpectOperator("]"));
  return Make(line, ListDisplay{std::move(items)});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseDict() {
  const int line = stream_.Take().line;
  DictDisplay dict;
  while (!stream_.current().IsOperator("}")) {
    if (!dict.entries.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.current().IsOperator("}")) break;
    ASSIGN_OR_RETURN(ExpressionPtr key, ParseExpression());
    RETURN_IF_ERROR(stream_.ExpectOperator(":"));
    ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
  RETURN_IF_ERROR(stream_.ExpectOperator("}"));
  return Make(line, std::move(dict));
}

bool ExpressionParser::AtTupleEnd(absl::string_view end_name) const {
  const Token& token = stream_.current();
  return token.type == TokenType::kVariableEnd || token.type == TokenType::kBlockEnd ||
         token.IsOperator(")") || (!end_name.empty() && token.IsName(end_name));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTuple(bool with_conditional,
                                                           absl::string_view end_name) {
  const int line = stream_.line();
  Expressions items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (AtTupleEnd(end_name)) break;
    ASSIGN_OR_RETURN(ExpressionPtr item, ParseExpression(with_conditional));
    items.push_back(std::move(item));
    if (!stream_.current().IsOperator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return Make(line, TupleDisplay{std::move(items)});
  if (items.size() == 1) return std::move(items[0]);
  return SyntaxError(
      line, absl::StrCat("Expected an expression, got '", DescribeToken(stream_.current()), "'"));
}

}  // namespace tandem::jinja
