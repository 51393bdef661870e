// What a step of decoding costs a worker's loop thread beside the engine, with and without a log.
//
//   ninja -C build event_log_benchmark && build/event_log_benchmark
#include <benchmark/benchmark.h>

#include <memory>
#include <utility>

#include "scheduler/replay/logged_scheduler.h"
#include "server/event_log/event_log_file.h"
#include "tests/testing/temp_folder.h"

namespace tandem {
namespace {

constexpr int kPromptTokens = 512;

StepOutput AnyTokens(const Batch& batch) {
  StepOutput output;
  for (const BatchRow& row : batch.rows) {
    RowOutput& answer = output.rows.emplace_back();
    answer.request = row.request;
    if (row.sample) answer.tokens.push_back({.token = 10000 + row.begin});
  }
  return output;
}

void Step(LoggedScheduler& scheduler, absl::Time now) {
  const Batch batch = scheduler.Schedule(now);
  scheduler.TakeEvents();
  benchmark::DoNotOptimize(scheduler.Commit(batch, AnyTokens(batch), now));
}

// Of range(0) sequences, logged if range(1).
void BM_DecodeStep(benchmark::State& state) {
  const int num_rows = static_cast<int>(state.range(0));
  const TempFolder folder;
  std::unique_ptr<EventLogFile> file;
  int64_t num_bytes = 0;
  LineSink sink;
  if (state.range(1) != 0) {
    file = std::move(EventLogFile::Create(folder.path() + "/log.jsonl")).value();
    sink = [&](absl::string_view line) {
      num_bytes += static_cast<int64_t>(line.size());
      file->Append(line);
    };
  }
  InstanceOptions options{.num_blocks = num_rows * 4096,
                          .max_model_len = 65536,
                          .max_num_seqs = num_rows,
                          .max_num_batched_tokens = kPromptTokens};
  LoggedScheduler scheduler(std::move(InstanceScheduler::Create(options)).value(), sink);
  absl::Time now = absl::UnixEpoch() + absl::Hours(24 * 365 * 50);
  for (int i = 0; i < num_rows; ++i) {
    Request request{.id = RequestId(0x9E3779B97F4A7C15u * (i + 1))};
    for (int j = 0; j < kPromptTokens; ++j) request.prompt.push_back(i * 1000 + j);
    request.sampling.max_tokens = 60000;
    if (!scheduler.Add(std::move(request), now).ok()) state.SkipWithError("refused");
  }
  while (scheduler.Stats().decoding_requests < num_rows) Step(scheduler, now);
  num_bytes = 0;
  for (auto unused : state) {
    now += absl::Milliseconds(20);
    Step(scheduler, now);
  }
  state.counters["bytes"] =
      static_cast<double>(num_bytes) / static_cast<double>(state.iterations());
}
BENCHMARK(BM_DecodeStep)->ArgsProduct({{1, 8, 64}, {0, 1}})->Iterations(2000);

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
