// What follows a primary expression: attributes, items, calls, filters, tests; and assignment
// targets.
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "engine/tokenizer/jinja_expression_parser.h"

namespace tandem::jinja {

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePostfix(ExpressionPtr expression) {
  while (true) {
    if (stream_.current().IsOperator(".")) {
      ASSIGN_OR_RETURN(expression, ParseAttribute(std::move(expression)));
    } else if (stream_.current().IsOperator("[")) {
      ASSIGN_OR_RETURN(expression, ParseSubscript(std::move(expression)));
    } else if (stream_.current().IsOperator("(")) {
      ASSIGN_OR_RETURN(expression, ParseCall(std::move(expression)));
    } else {
      return expression;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFiltersAndTests(ExpressionPtr expression) {
  while (true) {
    if (stream_.current().IsOperator("|")) {
      ASSIGN_OR_RETURN(expression, ParseFilters(std::move(expression), /*first_inline=*/false));
    } else if (stream_.current().IsName("is")) {
      ASSIGN_OR_RETURN(expression, ParseTest(std::move(expression)));
    } else if (stream_.current().IsOperator("(")) {
      ASSIGN_OR_RETURN(expression, ParseCall(std::move(expression)));
    } else {
      return expression;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseAttribute(ExpressionPtr object) {
  const int line = stream_.Take().line;
  const Token& token = stream_.Take();
  if (token.type == TokenType::kName) {
    return Make(line, AttributeAccess{std::move(object), token.text});
  }
  if (token.type != TokenType::kInteger) {
    return SyntaxError(token.line, "expected name or number");
  }
  ASSIGN_OR_RETURN(ExpressionPtr key, Make(token.line, Literal{Value::Int(token.integer)}));
  return Make(line, ItemAccess{std::move(object), std::move(key)});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSubscript(ExpressionPtr object) {
  const int line = stream_.Take().line;
  const auto at_end = [this] {
    return stream_.current().IsOperator("]") || stream_.current().IsOperator(",");
  };
  Expressions parts(3);  // key, or start, stop and step
  bool is_slice = false;
  if (!stream_.current().IsOperator(":")) {
    ASSIGN_OR_RETURN(parts[0], ParseExpression());
  }
  for (size_t i = 1; i < parts.size() && stream_.TakeOperator(":"); ++i) {
    is_slice = true;
    if (at_end() || stream_.current().IsOperator(":")) continue;
    ASSIGN_OR_RETURN(parts[i], ParseExpression());
  }
  if (is_slice) {
    RETURN_IF_ERROR(stream_.ExpectOperator("]"));
    return Make(line, SliceAccess{std::move(object), std::move(parts[0]), std::move(parts[1]),
                                  std::move(parts[2])});
  }
  if (stream_.current().IsOperator(",")) {  // object[a, b]
    Expressions items;
    items.push_back(std::move(parts[0]));
    while (stream_.TakeOperator(",")) {
      ASSIGN_OR_RETURN(ExpressionPtr item, ParseExpression());
      items.push_back(std::move(item));
    }
    ASSIGN_OR_RETURN(parts[0], Make(line, TupleDisplay{std::move(items)}));
  }
  RETURN_IF_ERROR(stream_.ExpectOperator("]"));
  return Make(line, ItemAccess{std::move(object), std::move(parts[0])});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseCall(ExpressionPtr callee) {
  const int line = stream_.line();
  ASSIGN_OR_RETURN(CallArguments arguments, ParseArguments());
  return Make(line, Call{std::move(callee), std::move(arguments)});
}

absl::StatusOr<CallArguments> ExpressionParser::ParseArguments() {
  RETURN_IF_ERROR(stream_.ExpectOperator("("));
  CallArguments arguments;
  bool first = true;
  while (!stream_.current().IsOperator(")")) {
    if (!first) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (stream_.current().IsOperator(")")) break;
    RETURN_IF_ERROR(ParseArgument(&arguments));
    first = false;
  }
  RETURN_IF_ERROR(stream_.ExpectOperator(")"));
  return arguments;
}

absl::Status ExpressionParser::ParseArgument(CallArguments* arguments) {
  absl::Status misplaced =
      SyntaxError(stream_.line(), "invalid syntax for function call expression");
  const bool has_more_keyword = arguments->more_keyword != nullptr;
  const bool has_more = has_more_keyword || arguments->more_positional != nullptr;
  if (stream_.TakeOperator("*")) {
    if (has_more) return misplaced;
    ASSIGN_OR_RETURN(arguments->more_positional, ParseExpression());
  } else if (stream_.TakeOperator("**")) {
    if (has_more_keyword) return misplaced;
    ASSIGN_OR_RETURN(arguments->more_keyword, ParseExpression());
  } else if (stream_.current().type == TokenType::kName && stream_.next().IsOperator("=")) {
    if (has_more_keyword) return misplaced;
    const std::string name = stream_.Take().text;
    stream_.Take();
    ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    for (const auto& [other, unused] : arguments->keyword) {
      if (other == name) {
        return SyntaxError(value->line, absl::StrCat("keyword argument repeated: ", name));
      }
    }
    arguments->keyword.emplace_back(name, std::move(value));
  } else {
    if (has_more || !arguments->keyword.empty()) return misplaced;
    ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
    arguments->positional.push_back(std::move(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ExpressionParser::ParseDottedName() {
  ASSIGN_OR_RETURN(std::string name, stream_.ExpectName());
  while (stream_.TakeOperator(".")) {
    ASSIGN_OR_RETURN(const std::string part, stream_.ExpectName());
    absl::StrAppend(&name, ".", part);
  }
  return name;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFilters(ExpressionPtr input,
                                                             bool first_inline) {
  while (first_inline || stream_.TakeOperator("|")) {
    first_inline = false;
    const int line = stream_.line();
    ASSIGN_OR_RETURN(std::string name, ParseDottedName());
    CallArguments arguments;
    if (stream_.current().IsOperator("(")) {
      ASSIGN_OR_RETURN(arguments, ParseArguments());
    }
    ASSIGN_OR_RETURN(
        input, Make(line, FilterCall{std::move(input), std::move(name), std::move(arguments)}));
  }
  return input;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTest(ExpressionPtr input) {
  const int line = stream_.Take().line;
  const bool negated = stream_.TakeName("not");
  ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  const Token& token = stream_.current();
  CallArguments arguments;
  if (token.IsOperator("(")) {
    ASSIGN_OR_RETURN(arguments, ParseArguments());
  } else if (token.type == TokenType::kString || token.type == TokenType::kInteger ||
             token.type == TokenType::kFloat || token.IsOperator("[") || token.IsOperator("{") ||
             (token.type == TokenType::kName && !token.IsName("else") && !token.IsName("or") &&
              !token.IsName("and"))) {
    // One argument without parentheses: x is divisibleby 3.
    if (token.IsName("is")) {
      return SyntaxError(token.line, "You cannot chain multiple tests with is");
    }
    ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    ASSIGN_OR_RETURN(argument, ParsePostfix(std::move(argument)));
    arguments.positional.push_back(std::move(argument));
  }
  ASSIGN_OR_RETURN(ExpressionPtr test,
                   Make(line, TestCall{std::move(input), std::move(name), std::move(arguments)}));
  if (!negated) return test;
  return Make(line, Unary{UnaryOperator::kNot, std::move(test)});
}

absl::StatusOr<Target> ExpressionParser::ParseTarget(bool with_namespace,
                                                     absl::string_view end_name) {
  Target target;
  target.line = stream_.line();
  while (true) {
    if (!target.parts.empty()) RETURN_IF_ERROR(stream_.ExpectOperator(","));
    if (AtTupleEnd(end_name)) break;
    ASSIGN_OR_RETURN(Target part, ParseSingleTarget(with_namespace));
    target.parts.push_back(std::move(part));
    if (!stream_.current().IsOperator(",")) break;
    target.is_tuple = true;
  }
  if (target.is_tuple) return target;
  if (target.parts.empty()) {
    return SyntaxError(target.line, absl::StrCat("Expected an expression, got '",
                                                 DescribeToken(stream_.current()), "'"));
  }
  return Target(std::move(target.parts[0]));
}

absl::StatusOr<Target> ExpressionParser::ParseSingleTarget(bool with_namespace) {
  const Token& token = stream_.current();
  if (token.IsOperator("(")) {
    if (nesting_ == 20) return SyntaxError(token.line, "the assignment nests too deeply");
    stream_.Take();
    ++nesting_;
    absl::StatusOr<Target> target = ParseTarget(/*with_namespace=*/false);
    --nesting_;
    RETURN_IF_ERROR(target.status());
    RETURN_IF_ERROR(stream_.ExpectOperator(")"));
    return target;
  }
  Target target;
  target.line = token.line;
  if (token.type != TokenType::kName) {
    return SyntaxError(token.line, absl::StrCat("can't assign to '", DescribeToken(token), "'"));
  }
  target.name = stream_.Take().text;
  for (const absl::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (target.name == constant) {
      return SyntaxError(target.line, absl::StrCat("can't assign to '", target.name, "'"));
    }
  }
  if (with_namespace && stream_.TakeOperator(".")) {
    ASSIGN_OR_RETURN(target.attribute, stream_.ExpectName());
  }
  return target;
}

}  // namespace tandem::jinja
