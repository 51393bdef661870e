#include "server/bench/load_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/server/bench/fake_client.h"

namespace tandem {
namespace {

using Outcome = RequestRecord::Outcome;

LoadRunOptions Options(FakeServer& server, int num_threads = 1) {
  return {.make_client = FakeClients(server),
          .num_threads = num_threads,
          .targets = {.ttft = absl::Milliseconds(10)}};
}

Workload Spaced(int num_requests, absl::Duration gap) {
  Workload workload;
  for (int i = 0; i < num_requests; ++i) {
    workload.requests.push_back({.arrival = i * gap, .prompt_tokens = 3, .output_tokens = 2});
  }
  return workload;
}

TEST(LoadRunTest, SendsEachRequestOnceAndNoneBeforeItsTime) {
  for (int num_threads : {1, 3}) {
    FakeServer server;
    const Workload workload = Spaced(50, absl::Milliseconds(1));
    LoadRun run(workload, Options(server, num_threads));
    EXPECT_TRUE(run.Wait(absl::Minutes(1)));
    const std::vector<RequestRecord> records = run.TakeRecords();
    ASSERT_EQ(records.size(), 50u);
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(records[i].index, i);
      EXPECT_EQ(records[i].scheduled, absl::Milliseconds(i));
      EXPECT_GE(records[i].sent, records[i].scheduled);
    }
    EXPECT_EQ(server.ids.size(), 50u);
    EXPECT_EQ(run.counts().served, 50);
    EXPECT_EQ(run.counts().good, 50);
    EXPECT_EQ(run.counts().open(), 0);
    EXPECT_FALSE(run.was_stopped());
  }
}

TEST(LoadRunTest, AsksWithTokensOrWords) {
  FakeServer tokens, words;
  const Workload workload = Spaced(1, absl::ZeroDuration());
  EXPECT_TRUE(LoadRun(workload, Options(tokens)).Wait(absl::Minutes(1)));
  LoadRunOptions options = Options(words);
  options.wants_text = true;
  EXPECT_TRUE(LoadRun(workload, options).Wait(absl::Minutes(1)));
  EXPECT_EQ(tokens.asks[0].tokens.size(), 3u);
  EXPECT_TRUE(tokens.asks[0].text.empty());
  EXPECT_TRUE(words.asks[0].tokens.empty());
  EXPECT_FALSE(words.asks[0].text.empty());
}

TEST(LoadRunTest, StoppingGivesUpWhatIsOpenAndSendsNoMore) {
  FakeServer server;
  server.answers = false;
  Workload workload = Spaced(3, absl::ZeroDuration());
  workload.requests.push_back({.arrival = absl::Hours(1)});
  LoadRun run(workload, Options(server));
  while (run.counts().sent < 3) run.Wait(absl::Milliseconds(1));
  run.Stop();
  EXPECT_TRUE(run.Wait(absl::Minutes(1)));
  EXPECT_TRUE(run.was_stopped());
  const std::vector<RequestRecord> records = run.TakeRecords();
  ASSERT_EQ(records.size(), 3u);
  for (const RequestRecord& record : records) EXPECT_EQ(record.outcome, Outcome::kFailed);
}

TEST(LoadRunTest, EndsEarlyAfterTooManyMisses) {
  FakeServer server;
  server.outcome = Outcome::kShed;
  Workload workload = Spaced(10, absl::ZeroDuration());
  workload.requests.push_back({.arrival = absl::Hours(1)});
  LoadRunOptions options = Options(server);
  options.max_misses = 4;
  LoadRun run(workload, options);
  EXPECT_TRUE(run.Wait(absl::Minutes(1)));
  EXPECT_TRUE(run.was_stopped());
  EXPECT_GE(run.counts().shed, 5);
}

TEST(LoadRunTest, CanBeDestroyedAtAnyTime) {
  FakeServer server;
  server.answers = false;
  const Workload workload = Spaced(100, absl::Milliseconds(1));
  const LoadRun run(workload, Options(server, 2));
}

}  // namespace
}  // namespace tandem
