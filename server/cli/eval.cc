// tandem eval: perplexity of a text under a model, with the arithmetic that serving uses.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/core/status_macros.h"
#include "engine/kernels/ops.h"
#include "engine/runner/perplexity.h"
#include "server/cli/commands.h"
#include "server/cli/json_text.h"
#include "server/cli/process_options.h"
#include "server/cli/progress_bar.h"
#include "server/cli/text_file.h"
#include "server/gateway/model_info.h"

namespace tandem {
namespace {

struct Evaluation {
  Perplexity perplexity;
  int window = 0;
  Isa isa = Isa::kAuto;
  double bytes_per_token = 0;  // of the whole text
  absl::Duration elapsed;

  double BitsPerByte() const {
    return perplexity.total_nll / static_cast<double>(perplexity.num_tokens) / std::log(2.0) /
           bytes_per_token;
  }
  double TokensPerSecond() const {
    return static_cast<double>(perplexity.num_tokens) / absl::ToDoubleSeconds(elapsed);
  }
};

absl::StatusOr<Evaluation> Evaluate(const Config& config) {
  if (config.text().empty()) return absl::InvalidArgumentError("--text is required");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(config.text()));
  ASSIGN_OR_RETURN(RunnerOptions options, MakeRunnerOptions(config));
  ASSIGN_OR_RETURN(const ModelInfo info, LoadModelInfo(config.model(), {}, "", absl::Now()));
  ASSIGN_OR_RETURN(const std::vector<TokenId> tokens,
                   info.tokenizer->Encode(text, {.add_special_tokens = false}));
  options.max_model_len = static_cast<int>(config.window());
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelRunner> runner, ModelRunner::Create(options));

  Evaluation result;
  result.window = options.max_model_len;
  result.isa = runner->isa();
  result.bytes_per_token =
      static_cast<double>(text.size()) / static_cast<double>(std::max<size_t>(tokens.size(), 1));
  ProgressBar bar;
  const absl::Time start = absl::Now();
  ASSIGN_OR_RETURN(result.perplexity,
                   MeasurePerplexity(*runner, tokens, result.window,
                                     [&](int done, int all) { bar.Show("window", done, all); }));
  result.elapsed = absl::Now() - start;
  return result;
}

}  // namespace

absl::Status RunEval(const Config& config) {
  ASSIGN_OR_RETURN(const Evaluation result, Evaluate(config));
  const Perplexity& perplexity = result.perplexity;
  if (config.json()) {
    std::cout << JsonText({{"model", config.model()},
                           {"text", config.text()},
                           {"window", result.window},
                           {"scored_tokens", perplexity.num_tokens},
                           {"perplexity", perplexity.Value()},
                           {"second_half_perplexity", perplexity.LateValue()},
                           {"bits_per_byte", result.BitsPerByte()},
                           {"isa", std::string(IsaName(result.isa))},
                           {"tokens_per_s", result.TokensPerSecond()}})
              << std::endl;
    return absl::OkStatus();
  }
  std::cout << absl::StreamFormat(
      "perplexity            %.4f   (%d tokens scored, windows of %d)\n"
      "  of second halves    %.4f\n"
      "bits per byte         %.4f\n"
      "speed                 %.0f tokens/s (%s)\n",
      perplexity.Value(), perplexity.num_tokens, result.window, perplexity.LateValue(),
      result.BitsPerByte(), result.TokensPerSecond(), IsaName(result.isa));
  return absl::OkStatus();
}

}  // namespace tandem
