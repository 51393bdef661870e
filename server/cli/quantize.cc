// tandem quantize: a smaller GGUF file of the same model.
#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/core/status_macros.h"
#include "engine/weights/quantize_gguf.h"
#include "server/cli/commands.h"
#include "server/cli/progress_bar.h"

namespace tandem {

absl::Status RunQuantize(const Config& config) {
  if (config.model().empty()) return absl::InvalidArgumentError("--model is required");
  if (config.output().empty()) return absl::InvalidArgumentError("--output is required");
  if (std::filesystem::is_directory(config.model())) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.model(), ": a Hugging Face folder; quantize takes a GGUF file"));
  }
  QuantizeOptions options;
  options.input = config.model();
  options.output = config.output();
  options.replace = config.force();
  ASSIGN_OR_RETURN(options.dtype, ParseDType(config.type()));
  absl::StatusOr<QuantizeSummary> summary;
  {
    ProgressBar bar;
    summary = QuantizeGguf(options, [&](int done, int all) { bar.Show("MB", done, all); });
  }
  if (absl::IsAlreadyExists(summary.status())) {
    return absl::AlreadyExistsError(
        absl::StrCat(summary.status().message(), "; --force replaces it"));
  }
  RETURN_IF_ERROR(summary.status());
  std::cout << absl::StreamFormat("%s: %d of %d tensors as %s, %.1f MB (of %.1f MB)\n",
                                  options.output, summary->num_quantized, summary->num_tensors,
                                  GetDTypeInfo(options.dtype).name, summary->output_bytes / 1e6,
                                  summary->input_bytes / 1e6);
  return absl::OkStatus();
}

}  // namespace tandem
