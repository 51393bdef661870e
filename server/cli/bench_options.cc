#include "server/cli/bench_options.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/core/status_macros.h"
#include "scheduler/sim/trace_reader.h"
#include "server/bench/grpc_client.h"
#include "server/bench/http_client.h"
#include "server/bench/http_server_facts.h"
#include "server/cli/commands.h"
#include "server/cli/option_value.h"
#include "server/cli/text_file.h"

namespace tandem {
namespace {

using nlohmann::json;

absl::Status WrongOption(absl::string_view flag, absl::string_view text,
                         absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("option --", flag, ": expected ", expected, ", got \"", text, "\""));
}

// "NAME=VALUE".
absl::StatusOr<std::pair<std::string, std::string>> ParsePair(absl::string_view flag,
                                                              const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos ||
      text.find_first_of("\r\n") != std::string::npos) {
    return WrongOption(flag, text, "NAME=VALUE");
  }
  return std::make_pair(text.substr(0, equals), text.substr(equals + 1));
}

// The server, and its model.
struct Target {
  std::string model;
  int vocabulary = 0;  // 0: not known
  ClientFactory make_client;
};

bool IsChat(const Config& config) { return config.endpoint() == "chat"; }

absl::StatusOr<Target> MakeGrpcTarget(const Config& config, const SloTargets& targets) {
  ASSIGN_OR_RETURN(const v1::GetModelInfoResponse info, AskModelInfo(config.grpc()));
  GrpcClientOptions options = {
      .address = config.grpc(),
      .is_chat = IsChat(config),
      .model = config.target_model().empty() ? info.id() : config.target_model(),
      .ignore_eos = config.ignore_eos(),
      .timeout = absl::Seconds(config.request_timeout())};
  if (config.send_targets()) {
    options.ttft_target = targets.ttft.value_or(absl::ZeroDuration());
    options.tpot_target = targets.tpot.value_or(absl::ZeroDuration());
  }
  return Target{.model = options.model,
                .vocabulary = info.vocab_size(),
                .make_client = [options](boost::asio::io_context& context) {
                  return MakeGrpcClient(options, context);
                }};
}

// Whether a header tells a latency target or a class of them.
bool IsTarget(absl::string_view header) {
  const std::string name = absl::AsciiStrToLower(header);
  for (const absl::string_view part : {"-slo-", "-ttft-ms", "-tpot-ms", "-inference-objective"}) {
    if (absl::StrContains(name, part)) return true;
  }
  return false;
}

absl::Status TakeHeaders(const Config& config, const SloTargets& targets,
                         HttpClientOptions& options) {
  if (!config.key().empty()) {
    options.headers.emplace_back("Authorization", "Bearer " + config.key());
  }
  for (const std::string& text : config.header()) {
    ASSIGN_OR_RETURN(auto header, ParsePair("header", text));
    (IsTarget(header.first) ? options.target_headers : options.headers)
        .push_back(std::move(header));
  }
  const auto add = [&](const char* name, const std::optional<absl::Duration>& target) {
    if (!config.send_targets() || !target) return;
    options.target_headers.emplace_back(name, absl::StrCat(absl::ToDoubleMilliseconds(*target)));
  };
  add("x-llm-d-slo-ttft-ms", targets.ttft);
  add("x-llm-d-slo-tpot-ms", targets.tpot);
  return absl::OkStatus();
}

absl::StatusOr<Target> MakeHttpTarget(const Config& config, const SloTargets& targets) {
  HttpClientOptions options = {.is_chat = IsChat(config),
                               .model = config.target_model(),
                               .ignore_eos = config.ignore_eos(),
                               .keep_alive = config.keep_alive(),
                               .timeout = absl::Seconds(config.request_timeout()),
                               .extra_body = config.extra_body()};
  ASSIGN_OR_RETURN(options.url, ParseHttpUrl(config.url()));
  RETURN_IF_ERROR(TakeHeaders(config, targets, options));
  if (!options.extra_body.empty() &&
      !json::parse(options.extra_body, nullptr, /*allow_exceptions=*/false).is_object()) {
    return WrongOption("extra-body", options.extra_body, "a JSON object");
  }
  ASSIGN_OR_RETURN(const auto endpoints, ResolveHttp(options.url));
  Target target = {.model = options.model};
  if (target.model.empty()) {
    ASSIGN_OR_RETURN(const ServedModel served,
                     AskFirstModel({.url = options.url, .key = config.key()}));
    target.model = options.model = served.id;
    target.vocabulary = served.num_tokens;
  }
  target.make_client = [options, endpoints](boost::asio::io_context& context) {
    return MakeHttpClient(options, endpoints, context);
  };
  return target;
}

absl::Status SetTokenRange(const Config& config, int vocabulary, PromptOptions& prompts) {
  const std::string& text = config.token_range();
  if (!text.empty()) {
    const std::vector<std::string> ends = absl::StrSplit(text, absl::MaxSplits("..", 1));
    if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &prompts.first_token) ||
        !absl::SimpleAtoi(ends[1], &prompts.last_token) ||
        prompts.first_token > prompts.last_token) {
      return WrongOption("token-range", text, "LOW..HIGH");
    }
    return absl::OkStatus();
  }
  if (vocabulary <= 0 || prompts.last_token < static_cast<uint32_t>(vocabulary)) {
    return absl::OkStatus();
  }
  prompts.last_token = static_cast<uint32_t>(vocabulary) - 1;
  prompts.first_token = std::min(prompts.first_token, prompts.last_token / 2);
  return absl::OkStatus();
}

// ShareGPT's texts are counted by the server if it can, else by their bytes.
std::function<absl::StatusOr<int>(absl::string_view)> TokenCounter(const Config& config,
                                                                   const std::string& model) {
  const auto url = ParseHttpUrl(config.url());
  if (!config.grpc().empty() || !url.ok()) return nullptr;
  const HttpServer server = {.url = *url, .key = config.key()};
  if (!CountTokens(server, model, "a").ok()) return nullptr;
  return [server, model](absl::string_view text) { return CountTokens(server, model, text); };
}

// What can be told without the server, so that nobody starts one only to learn it.
absl::Status CheckLoad(const Config& config) {
  if (!config.trace().empty()) return ReadFile(config.trace()).status();
  RETURN_IF_ERROR(
      NameOption("prompt-tokens", LengthDistribution::Parse(config.prompt_tokens())).status());
  return NameOption("output-tokens", LengthDistribution::Parse(config.output_tokens())).status();
}

absl::Status ReadWorkload(const Config& config, const std::string& model,
                          LoadTestOptions& options) {
  if (config.trace().empty()) {
    ASSIGN_OR_RETURN(options.prompt, NameOption("prompt-tokens",
                                                LengthDistribution::Parse(config.prompt_tokens())));
    ASSIGN_OR_RETURN(options.output, NameOption("output-tokens",
                                                LengthDistribution::Parse(config.output_tokens())));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string content, ReadFile(config.trace()));
  TraceOptions trace_options = {.block_tokens = static_cast<int>(config.trace_block_tokens()),
                                .max_requests = static_cast<int>(config.requests()),
                                .seed = static_cast<uint64_t>(config.seed())};
  if (content.compare(0, 1, "[") == 0) {
    trace_options.count_tokens = TokenCounter(config, model);
    if (trace_options.max_requests == 0) {
      constexpr int kEnough = 1000;  // each costs two calls
      trace_options.max_requests = kEnough;
    }
  }
  absl::StatusOr<Workload> trace = ReadTrace(content, trace_options);
  if (!trace.ok()) return Annotate(trace.status(), config.trace());
  trace->name = config.trace().substr(config.trace().rfind('/') + 1);
  for (TimedRequest& request : trace->requests) {
    if (!config.target_model().empty()) request.model.clear();  // the command line beats the trace
  }
  options.trace = *std::move(trace);
  return absl::OkStatus();
}

// Poisson and constant arrivals are gamma ones; the trace's own are kept.
absl::StatusOr<std::string> SetArrivalProcess(const Config& config, LoadTestOptions& options) {
  const bool has_times = options.trace && options.trace->has_arrivals;
  std::string arrivals = config.arrivals();
  if (arrivals == "auto") arrivals = has_times ? "trace" : "poisson";
  if (arrivals == "trace" && !has_times) {
    return WrongOption("arrivals", arrivals, "another than trace without a --trace that has times");
  }
  options.keeps_trace_times = arrivals == "trace";
  if (arrivals == "gamma") options.burstiness = config.burstiness();
  if (arrivals == "constant") options.burstiness = std::numeric_limits<double>::infinity();
  return arrivals;
}

absl::Status SetRates(const Config& config, LoadTestOptions& options) {
  options.rates = NumbersOf(config.rates());
  if (options.rates.empty() && !options.keeps_trace_times) options.rates = {1};
  if (!config.search()) return absl::OkStatus();
  if (options.run.targets.IsEmpty()) {
    return absl::InvalidArgumentError("option --search needs targets, such as --goodput ttft:400");
  }
  const double first = options.rates.empty() ? options.trace->Rate() : options.rates[0];
  if (!std::isfinite(first))
    return WrongOption("rates", config.rates(), "a finite rate to search from");
  options.search = RateSearchOptions{.target = config.attainment(),
                                     .first_rate = first,
                                     .tolerance = config.tolerance(),
                                     .max_requests = static_cast<int>(config.max_requests())};
  return absl::OkStatus();
}

std::string BackendName(const Config& config) {
  if (!config.grpc().empty()) return "grpc";
  return IsChat(config) ? "openai-chat" : "openai";
}

}  // namespace

absl::StatusOr<BenchSetup> MakeBenchSetup(const Config& config, absl::Time now) {
  BenchSetup setup;
  LoadTestOptions& options = setup.options;
  RunSeries& series = setup.series;
  ASSIGN_OR_RETURN(
      series.targets,
      NameOption("goodput", ParseTargets({config.goodput().begin(), config.goodput().end()})));
  options.run.targets = series.targets;
  RETURN_IF_ERROR(CheckLoad(config));
  const bool is_grpc = !config.grpc().empty();
  ASSIGN_OR_RETURN(Target target, is_grpc ? MakeGrpcTarget(config, series.targets)
                                          : MakeHttpTarget(config, series.targets));
  RETURN_IF_ERROR(SetTokenRange(config, target.vocabulary, options.run.prompts));
  RETURN_IF_ERROR(ReadWorkload(config, target.model, options));
  ASSIGN_OR_RETURN(series.arrivals, SetArrivalProcess(config, options));
  RETURN_IF_ERROR(SetRates(config, options));
  options.run.make_client = std::move(target.make_client);
  options.run.prompts.block_tokens = static_cast<int>(config.trace_block_tokens());
  options.run.wants_text = IsChat(config);
  options.run.num_threads = static_cast<int>(config.client_threads());
  options.num_requests = static_cast<int>(config.requests());
  options.duration = absl::Seconds(config.duration());
  options.num_warmup_requests = static_cast<int>(config.warmup());
  options.seed = static_cast<uint64_t>(config.seed());
  options.content_seed = static_cast<uint64_t>(absl::ToUnixNanos(now));

  series.tool = absl::StrCat("tandem bench ", TandemVersion());
  series.label = config.label();
  series.backend = BackendName(config);
  series.server = is_grpc ? config.grpc() : config.url();
  series.model = target.model;
  series.workload =
      options.trace ? options.trace->name : config.prompt_tokens() + ":" + config.output_tokens();
  series.burstiness = options.burstiness;
  series.seed = options.seed;
  for (const std::string& text : config.metadata()) {
    ASSIGN_OR_RETURN(auto pair, ParsePair("metadata", text));
    series.metadata.push_back(std::move(pair));
  }
  return setup;
}

ResultJsonOptions MakeResultJsonOptions(const Config& config) {
  return {.percentiles = NumbersOf(config.percentiles()), .is_detailed = config.detailed()};
}

}  // namespace tandem
