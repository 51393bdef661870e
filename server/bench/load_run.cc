#include "server/bench/load_run.h"

#include <sys/resource.h>

#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"

namespace tandem {
namespace {

namespace asio = boost::asio;

constexpr char kStopped[] = "given up: the run was stopped";

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

}  // namespace

// A thread's share of the requests: every num_threads-th one.
class LoadRun::Lane {
 public:
  Lane(LoadRun& run, size_t first) : run_(run), next_(first), timer_(context_) {
    client_ = run_.options_.make_client(context_);
    PrepareNext();
  }

  void Start() {
    thread_ = std::thread([this] {
      SendDue();
      context_.run();
      run_.OnLaneEnd();
    });
  }

  void Stop() {
    asio::post(context_, [this] {
      next_ = run_.records_.size();
      timer_.cancel();
      for (const auto& [index, exchange] : open_) exchange->Cancel(kStopped);
    });
  }

  void Join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  const TimedRequest& NextRequest() const { return run_.workload_.requests[next_]; }
  bool HasNext() const { return next_ < run_.records_.size(); }

  void PrepareNext() {
    if (!HasNext()) return;
    const TimedRequest& request = NextRequest();
    const auto index = static_cast<int64_t>(next_);
    Ask ask = {.id = absl::StrCat("bench-", run_.options_.prompts.seed, "-", index),
               .output_tokens = request.output_tokens,
               .model = request.model,
               .slo_class = request.slo_class,
               .tenant = request.tenant,
               .priority = request.priority,
               .names_targets = run_.options_.names_targets};
    if (run_.options_.wants_text || !request.text.empty()) {
      ask.text = run_.prompts_.Text(request, index);
    } else {
      ask.tokens = run_.prompts_.Tokens(request, index);
    }
    prepared_ = client_->Prepare(ask);
  }

  void SendDue() {
    while (HasNext()) {
      const auto due = run_.start_ + absl::ToChronoNanoseconds(NextRequest().arrival);
      if (due > BenchClock::now()) {
        timer_.expires_at(due);
        timer_.async_wait([this](boost::system::error_code error) {
          if (!error) SendDue();
        });
        return;
      }
      SendNext();
    }
  }

  void SendNext() {
    const size_t index = next_;
    RequestRecord& record = run_.records_[index];
    record.index = static_cast<int64_t>(index);
    record.scheduled = NextRequest().arrival;
    record.prompt_tokens = NextRequest().prompt_tokens;
    record.slo_class = NextRequest().slo_class;
    record.sent = TimeSince(run_.start_);
    run_.counts_.sent.fetch_add(1, std::memory_order_relaxed);
    const auto it = open_.emplace(index, std::move(prepared_)).first;
    it->second->Start(record, [this, index] {
      open_.erase(index);
      run_.Count(run_.records_[index]);
    });
    next_ += run_.options_.num_threads;
    PrepareNext();
  }

  LoadRun& run_;
  asio::io_context context_{1};
  size_t next_;
  asio::steady_timer timer_;
  std::unique_ptr<Client> client_;
  std::shared_ptr<Exchange> prepared_;  // of request `next_`
  absl::flat_hash_map<size_t, std::shared_ptr<Exchange>> open_;
  std::thread thread_;
};

LoadRun::LoadRun(const Workload& workload, const LoadRunOptions& options)
    : workload_(workload),
      options_(options),
      prompts_(options.prompts),
      started_(absl::Now()),
      records_(workload.requests.size()),
      num_running_lanes_(options.num_threads) {
  for (RequestRecord& record : records_) record.index = -1;
  for (int i = 0; i < options.num_threads; ++i) lanes_.push_back(std::make_unique<Lane>(*this, i));
  cpu_at_start_ = CpuSeconds();
  start_ = BenchClock::now();
  for (const auto& lane : lanes_) lane->Start();
}

LoadRun::~LoadRun() {
  Stop();
  for (const auto& lane : lanes_) lane->Join();
}

bool LoadRun::Wait(absl::Duration timeout) {
  return ended_.WaitForNotificationWithTimeout(timeout);
}

void LoadRun::Stop() {
  if (ended_.HasBeenNotified() || is_stopping_.exchange(true)) return;
  for (const auto& lane : lanes_) lane->Stop();
}

LoadCounts LoadRun::counts() const {
  return {.sent = counts_.sent.load(),
          .served = counts_.served.load(),
          .good = counts_.good.load(),
          .failed = counts_.failed.load(),
          .shed = counts_.shed.load()};
}

void LoadRun::Count(const RequestRecord& record) {
  switch (record.outcome) {
    case RequestRecord::Outcome::kServed:
      ++counts_.served;
      if (IsGood(record, options_.targets)) ++counts_.good;
      break;
    case RequestRecord::Outcome::kFailed:
      ++counts_.failed;
      break;
    case RequestRecord::Outcome::kShed:
      ++counts_.shed;
      break;
  }
  const LoadCounts now = counts();
  if (now.ended() - now.good > options_.max_misses) Stop();
}

void LoadRun::OnLaneEnd() {
  if (num_running_lanes_.fetch_sub(1) > 1) return;
  cpu_share_ = (CpuSeconds() - cpu_at_start_) / absl::ToDoubleSeconds(TimeSince(start_));
  ended_.Notify();
}

std::vector<RequestRecord> LoadRun::TakeRecords() {
  for (const auto& lane : lanes_) lane->Join();
  std::vector<RequestRecord> sent;
  sent.reserve(records_.size());
  for (RequestRecord& record : records_) {
    if (record.index >= 0) sent.push_back(std::move(record));
  }
  records_.clear();
  return sent;
}

}  // namespace tandem
