// The half of the parser that reads expressions and assignment targets.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/tokenizer/jinja_ast.h"
#include "engine/tokenizer/jinja_token_stream.h"

namespace tandem::jinja {

// Each function consumes what it parses. Errors are INVALID_ARGUMENT with the line.
class ExpressionParser {
 public:
  // `stream` must outlive the parser.
  explicit ExpressionParser(TokenStream* stream) : stream_(*stream) {}

  // One expression; without `with_conditional`, none of the form "a if b".
  absl::StatusOr<ExpressionPtr> ParseExpression(bool with_conditional = true);

  // One expression, or several with commas as a tuple. Ends at the end of the tag, at a closing
  // parenthesis, or at the name `end_name` where that is not empty.
  absl::StatusOr<ExpressionPtr> ParseTuple(bool with_conditional = true,
                                           absl::string_view end_name = "");

  // "|name(...)|..." applied to `input`; `first_inline` where the first name has no bar before it.
  absl::StatusOr<ExpressionPtr> ParseFilters(ExpressionPtr input, bool first_inline);

  // A name, name.attribute (with `with_namespace`), or several of them with commas.
  absl::StatusOr<Target> ParseTarget(bool with_namespace, absl::string_view end_name = "");

 private:
  absl::StatusOr<ExpressionPtr> ParseConditional();
  absl::StatusOr<ExpressionPtr> ParseOr();
  absl::StatusOr<ExpressionPtr> ParseAnd();
  absl::StatusOr<ExpressionPtr> ParseNot();
  absl::StatusOr<ExpressionPtr> ParseComparison();
  absl::StatusOr<ExpressionPtr> ParseSum();
  absl::StatusOr<ExpressionPtr> ParseConcatenation();
  absl::StatusOr<ExpressionPtr> ParseProduct();
  absl::StatusOr<ExpressionPtr> ParsePower();
  absl::StatusOr<ExpressionPtr> ParseUnary(bool with_filters = true);
  absl::StatusOr<ExpressionPtr> ParsePrimary();
  absl::StatusOr<ExpressionPtr> ParseParenthesized();
  absl::StatusOr<ExpressionPtr> ParseList();
  absl::StatusOr<ExpressionPtr> ParseDict();
  absl::StatusOr<ExpressionPtr> ParsePostfix(ExpressionPtr expression);
  absl::StatusOr<ExpressionPtr> ParseFiltersAndTests(ExpressionPtr expression);
  absl::StatusOr<ExpressionPtr> ParseAttribute(ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> ParseSubscript(ExpressionPtr object);
  absl::StatusOr<ExpressionPtr> ParseCall(ExpressionPtr callee);
  absl::StatusOr<ExpressionPtr> ParseTest(ExpressionPtr input);
  absl::StatusOr<CallArguments> ParseArguments();
  absl::Status ParseArgument(CallArguments* arguments);
  absl::StatusOr<std::string> ParseDottedName();
  absl::StatusOr<Target> ParseSingleTarget(bool with_namespace);

  bool AtTupleEnd(absl::string_view end_name) const;
  // A node on `line` above its children; an error where the tree becomes too deep.
  absl::StatusOr<ExpressionPtr> Make(int line, Expression::Node node);

  TokenStream& stream_;
  int nesting_ = 0;  // of ParseExpression
};

}  // namespace tandem::jinja
