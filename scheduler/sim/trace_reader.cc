#include "scheduler/sim/trace_reader.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/core/status_macros.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr double kMaxMilliseconds = 1e13;  // some 300 years: beyond it a time is a mistake

absl::Status LineError(int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

// The next line of `rest`, which loses it.
absl::string_view TakeLine(absl::string_view& rest) {
  const size_t end = rest.find('\n');
  const absl::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == absl::string_view::npos ? rest.size() : end + 1);
  return absl::StripAsciiWhitespace(line);
}

bool IsFull(const Workload& workload, const TraceOptions& options) {
  return options.max_requests > 0 &&
         static_cast<int>(workload.requests.size()) >= options.max_requests;
}

// Sorts by arrival and counts from the first.
void Normalise(Workload& workload) {
  auto& requests = workload.requests;
  std::stable_sort(requests.begin(), requests.end(),
                   [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
  if (requests.empty()) return;
  const absl::Duration first = requests.front().arrival;
  for (TimedRequest& request : requests) request.arrival -= first;
  workload.has_arrivals = true;
}

// --- JSON lines

// A field of one line, checked.
class LineFields {
 public:
  LineFields(const json& object, int line) : object_(object), line_(line) {}

  absl::StatusOr<double> Number(const char* name, double min, double max) const {
    const auto field = object_.find(name);
    if (field == object_.end() || !field->is_number()) {
      return LineError(line_, absl::StrCat("`", name, "` is missing or no number"));
    }
    const double value = *field;
    if (!(value >= min && value <= max)) {
      return LineError(line_,
                       absl::StrCat("`", name, "` is ", value, ", not within ", min, " and ", max));
    }
    return value;
  }

  absl::StatusOr<double> NumberOr(const char* name, double fallback, double min, double max) const {
    if (!IsGiven(name)) return fallback;
    return Number(name, min, max);
  }

  absl::StatusOr<int> Tokens(const char* name) const {
    ASSIGN_OR_RETURN(const double value, Number(name, 0, LengthDistribution::kMaxTokens));
    return std::max(1, static_cast<int>(value));  // an answer of no token still is a request
  }

  absl::StatusOr<std::string> TextOr(const char* name) const {
    if (!IsGiven(name)) return std::string();
    const json& field = object_.at(name);
    if (!field.is_string()) return LineError(line_, absl::StrCat("`", name, "` is no string"));
    return field.get<std::string>();
  }

  absl::StatusOr<std::vector<uint64_t>> BlockIds(const char* name) const {
    std::vector<uint64_t> ids;
    if (!IsGiven(name)) return ids;
    const json& field = object_.at(name);
    if (!field.is_array()) return LineError(line_, absl::StrCat("`", name, "` is no list"));
    for (const json& id : field) {
      if (!id.is_number_unsigned()) {
        return LineError(line_, absl::StrCat("`", name, "` holds what is no natural number"));
      }
      ids.push_back(id.get<uint64_t>());
    }
    return ids;
  }

 private:
  bool IsGiven(const char* name) const {
    const auto field = object_.find(name);
    return field != object_.end() && !field->is_null();
  }

  const json& object_;
  const int line_;
};

absl::StatusOr<TimedRequest> ParseJsonLine(absl::string_view text, int line, int block_tokens) {
  const json object = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return LineError(line, "no JSON object");
  const LineFields fields(object, line);
  TimedRequest request;
  ASSIGN_OR_RETURN(const double arrival_ms, fields.Number("timestamp", 0, kMaxMilliseconds));
  request.arrival = absl::Milliseconds(arrival_ms);
  ASSIGN_OR_RETURN(request.prompt_tokens, fields.Tokens("input_length"));
  ASSIGN_OR_RETURN(request.output_tokens, fields.Tokens("output_length"));
  ASSIGN_OR_RETURN(request.block_ids, fields.BlockIds("hash_ids"));
  const int num_blocks = (request.prompt_tokens + block_tokens - 1) / block_tokens;
  if (!request.block_ids.empty() && static_cast<int>(request.block_ids.size()) != num_blocks) {
    return LineError(
        line, absl::StrCat(request.block_ids.size(), " `hash_ids` of ", block_tokens,
                           " tokens do not cover an `input_length` of ", request.prompt_tokens));
  }
  ASSIGN_OR_RETURN(request.slo_class, fields.TextOr("slo_class"));
  ASSIGN_OR_RETURN(request.tenant, fields.TextOr("tenant"));
  ASSIGN_OR_RETURN(request.model, fields.TextOr("model"));
  ASSIGN_OR_RETURN(const double priority, fields.NumberOr("priority", 0, -1e6, 1e6));
  request.priority = static_cast<int>(priority);
  constexpr double kNone = -1;
  ASSIGN_OR_RETURN(const double deadline,
                   fields.NumberOr("deadline_ms", kNone, 0, kMaxMilliseconds));
  if (deadline != kNone) request.deadline = absl::Milliseconds(deadline);
  return request;
}

absl::StatusOr<Workload> ReadJsonLines(absl::string_view content, const TraceOptions& options) {
  Workload workload{.block_tokens = options.block_tokens};
  for (int line = 1; !content.empty() && !IsFull(workload, options); ++line) {
    const absl::string_view text = TakeLine(content);
    if (text.empty()) continue;
    ASSIGN_OR_RETURN(TimedRequest request, ParseJsonLine(text, line, options.block_tokens));
    workload.requests.push_back(std::move(request));
  }
  Normalise(workload);
  return workload;
}

// --- Azure's CSV

// "2023-11-16 18:17:03.9799600", with a zone such as "+00:00" behind it in the files of 2024.
std::optional<absl::Time> ParseTimestamp(absl::string_view text) {
  absl::Time time;
  for (const char* format : {"%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M:%E*S%Ez"}) {
    if (absl::ParseTime(format, text, &time, nullptr)) return time;
  }
  return std::nullopt;
}

absl::StatusOr<int> ParseTokens(absl::string_view text, int line) {
  int tokens = 0;
  if (!absl::SimpleAtoi(text, &tokens) || tokens < 0 || tokens > LengthDistribution::kMaxTokens) {
    return LineError(line, absl::StrCat("\"", text, "\" is no number of tokens"));
  }
  return std::max(1, tokens);
}

absl::StatusOr<Workload> ReadAzure(absl::string_view content, const TraceOptions& options) {
  Workload workload{.block_tokens = options.block_tokens};
  TakeLine(content);  // the names of the columns
  for (int line = 2; !content.empty() && !IsFull(workload, options); ++line) {
    const absl::string_view text = TakeLine(content);
    if (text.empty()) continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(text, ',');
    if (cells.size() != 3) return LineError(line, "expected three columns");
    const std::optional<absl::Time> time = ParseTimestamp(cells[0]);
    if (!time) return LineError(line, absl::StrCat("\"", cells[0], "\" is no time"));
    TimedRequest request{.arrival = *time - absl::UnixEpoch()};
    ASSIGN_OR_RETURN(request.prompt_tokens, ParseTokens(cells[1], line));
    ASSIGN_OR_RETURN(request.output_tokens, ParseTokens(cells[2], line));
    workload.requests.push_back(std::move(request));
  }
  Normalise(workload);
  return workload;
}

// --- ShareGPT

absl::StatusOr<int> EstimateTokens(absl::string_view text) {
  constexpr size_t kBytesPerToken = 4;
  return static_cast<int>((text.size() + kBytesPerToken - 1) / kBytesPerToken);
}

// The text of a conversation's turn, or none if the entry is of another shape.
std::optional<std::string> TurnText(const json& entry, size_t turn) {
  if (!entry.is_object()) return std::nullopt;
  const auto turns = entry.find("conversations");
  if (turns == entry.end() || !turns->is_array() || turns->size() < 2) return std::nullopt;
  const json& spoken = (*turns)[turn];
  if (!spoken.is_object() || !spoken.contains("value") || !spoken["value"].is_string()) {
    return std::nullopt;
  }
  return spoken["value"].get<std::string>();
}

// The limits of vLLM's sampler.
bool IsUsable(int prompt_tokens, int output_tokens) {
  constexpr int kMin = 4, kMaxPrompt = 1024, kMaxSum = 2048;
  return prompt_tokens >= kMin && output_tokens >= kMin && prompt_tokens <= kMaxPrompt &&
         prompt_tokens + output_tokens <= kMaxSum;
}

absl::StatusOr<Workload> ReadShareGpt(absl::string_view content, const TraceOptions& options) {
  const json file =
      json::parse(content.begin(), content.end(), nullptr, /*allow_exceptions=*/false);
  if (!file.is_array()) return absl::InvalidArgumentError("the file is no JSON list");
  const auto count = options.count_tokens ? options.count_tokens : EstimateTokens;
  std::vector<size_t> order(file.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  Random random(options.seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);

  Workload workload{.block_tokens = options.block_tokens};
  for (size_t index : order) {
    if (IsFull(workload, options)) break;
    std::optional<std::string> prompt = TurnText(file[index], 0);
    const std::optional<std::string> answer = TurnText(file[index], 1);
    if (!prompt || !answer) continue;
    TimedRequest request;
    ASSIGN_OR_RETURN(request.prompt_tokens, count(*prompt));
    ASSIGN_OR_RETURN(request.output_tokens, count(*answer));
    if (!IsUsable(request.prompt_tokens, request.output_tokens)) continue;
    request.text = *std::move(prompt);
    workload.requests.push_back(std::move(request));
  }
  return workload;
}

absl::StatusOr<Workload> ReadAny(absl::string_view content, const TraceOptions& options) {
  if (absl::StartsWith(content, "{")) return ReadJsonLines(content, options);
  if (absl::StartsWith(content, "[")) return ReadShareGpt(content, options);
  if (absl::StartsWithIgnoreCase(content, "TIMESTAMP,")) return ReadAzure(content, options);
  return absl::InvalidArgumentError(
      "neither JSON lines (Mooncake), nor Azure's CSV, nor ShareGPT's JSON");
}

}  // namespace

absl::StatusOr<Workload> ReadTrace(absl::string_view content, const TraceOptions& options) {
  absl::ConsumePrefix(&content, "\xEF\xBB\xBF");  // a byte order mark
  ASSIGN_OR_RETURN(Workload workload, ReadAny(absl::StripLeadingAsciiWhitespace(content), options));
  if (workload.requests.empty()) return absl::InvalidArgumentError("no request in it");
  return workload;
}

std::string TraceLine(const TimedRequest& request) {
  nlohmann::ordered_json line = {{"timestamp", absl::ToDoubleMilliseconds(request.arrival)},
                                 {"input_length", request.prompt_tokens},
                                 {"output_length", request.output_tokens}};
  if (!request.block_ids.empty()) line["hash_ids"] = request.block_ids;
  if (!request.slo_class.empty()) line["slo_class"] = request.slo_class;
  if (!request.tenant.empty()) line["tenant"] = request.tenant;
  if (!request.model.empty()) line["model"] = request.model;
  if (request.priority != 0) line["priority"] = request.priority;
  if (request.deadline != absl::InfiniteDuration()) {
    line["deadline_ms"] = absl::ToDoubleMilliseconds(request.deadline);
  }
  return line.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace tandem
