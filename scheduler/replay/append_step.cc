#include "scheduler/replay/append_step.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "scheduler/replay/append_json.h"

namespace tandem {
namespace {

absl::string_view EventName(EventKind kind) {
  static constexpr std::array<absl::string_view, 9> kNames = {
      "begun",    "reserved",   "token",         "prompt_logprobs", "preempted",
      "finished", "handed_off", "lease_expired", "failed"};
  return kNames[static_cast<int>(kind)];
}

absl::string_view ReasonName(FinishReason reason) {
  static constexpr std::array<absl::string_view, 5> kNames = {"none", "stop", "length", "aborted",
                                                              "error"};
  return kNames[static_cast<int>(reason)];
}

// Calls `append(element)` for each, with what makes an array of them in between.
template <typename T, typename Append>
void AppendArray(absl::Span<const T> elements, std::string* out, const Append& append) {
  out->push_back('[');
  for (size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) out->push_back(',');
    append(elements[i]);
  }
  out->push_back(']');
}

void AppendPositions(absl::Span<const PromptLogprob> logprobs, std::string* out) {
  std::vector<int> positions;
  for (const PromptLogprob& logprob : logprobs) positions.push_back(logprob.position);
  AppendRuns(absl::MakeConstSpan(positions), out);
}

// `expected` is the batch's request of this row; null where the batch has no such row.
void AppendRowOutput(const RowOutput& row, const RequestId* expected, std::string* out) {
  const bool is_expected = expected != nullptr && *expected == row.request;
  if (is_expected && row.status.ok() && row.prompt_logprobs.empty() && row.tokens.size() <= 1) {
    absl::StrAppend(out, row.tokens.empty() ? "null" : absl::StrCat(row.tokens[0].token));
    return;
  }
  out->push_back('{');
  if (!is_expected) absl::StrAppend(out, "\"request\":", row.request.value(), ",");
  absl::StrAppend(out, "\"tokens\":");
  AppendArray(absl::MakeConstSpan(row.tokens), out,
              [out](const SampledToken& token) { absl::StrAppend(out, token.token); });
  if (!row.status.ok()) {
    absl::StrAppend(out, ",\"status\":");
    AppendJson(row.status, out);
  }
  if (!row.prompt_logprobs.empty()) {
    absl::StrAppend(out, ",\"prompt_logprobs\":");
    AppendPositions(row.prompt_logprobs, out);
  }
  out->push_back('}');
}

// The fields that only this kind has, each behind a comma.
void AppendEventFields(const Event& event, std::string* out) {
  switch (event.kind) {
    case EventKind::kBegun:
    case EventKind::kReserved:
      absl::StrAppend(out, ",", event.num_tokens, ",", event.num_cached_tokens, ",");
      return AppendRuns(absl::MakeConstSpan(event.block_table), out);
    case EventKind::kToken:
      return absl::StrAppend(out, ",", event.index, ",", event.token.token);
    case EventKind::kPromptLogprobs:
      out->push_back(',');
      return AppendPositions(event.prompt_logprobs, out);
    case EventKind::kFinished:
      absl::StrAppend(out, ",\"", ReasonName(event.reason), "\"");
      if (event.stop_token) absl::StrAppend(out, ",", *event.stop_token);
      return;
    case EventKind::kFailed:
      out->push_back(',');
      return AppendJson(event.status, out);
    case EventKind::kPreempted:
    case EventKind::kHandedOff:
    case EventKind::kLeaseExpired:
      return;
  }
}

void AppendTable(absl::Span<const BlockId> table, std::vector<BlockId>* last, std::string* out) {
  const size_t num_known = last->size();
  const bool continues = num_known > 0 && num_known <= table.size() &&
                         std::equal(last->begin(), last->end(), table.begin());
  if (!continues) {
    last->assign(table.begin(), table.end());
    return AppendRuns(table, out);
  }
  const absl::Span<const BlockId> added = table.subspan(num_known);
  AppendRuns(added, out, "+");
  last->insert(last->end(), added.begin(), added.end());
}

}  // namespace

void AppendRows(absl::Span<const BatchRow> rows, BlockTables* last, std::string* out) {
  AppendArray(rows, out, [&](const BatchRow& row) {
    absl::StrAppend(out, "[", row.request.value(), ",", row.tokens.size(), ",", row.begin, ",");
    absl::StrAppend(out, row.num_tokens, ",", row.sample ? "1," : "0,");
    AppendTable(row.block_table, &(*last)[row.request], out);
    out->push_back(']');
  });
}

void AppendCopies(absl::Span<const BlockCopy> copies, std::string* out) {
  AppendArray(copies, out, [out](const BlockCopy& copy) {
    absl::StrAppend(out, copy.direction == CopyDirection::kOut ? "[\"out\"," : "[\"in\",",
                    copy.block, ",", copy.host_block, "]");
  });
}

void AppendOutput(const Batch& batch, const StepOutput& output, std::string* out) {
  size_t index = 0;
  AppendArray(absl::MakeConstSpan(output.rows), out, [&](const RowOutput& row) {
    AppendRowOutput(row, index < batch.rows.size() ? &batch.rows[index].request : nullptr, out);
    ++index;
  });
}

void AppendEvents(absl::Span<const Event> events, std::string* out) {
  AppendArray(events, out, [out](const Event& event) {
    absl::StrAppend(out, "[\"", EventName(event.kind), "\",", event.id.value(), ",", event.attempt);
    AppendEventFields(event, out);
    out->push_back(']');
  });
}

}  // namespace tandem
