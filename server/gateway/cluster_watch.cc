#include "server/gateway/cluster_watch.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "engine/core/log.h"
#include "grpcpp/client_context.h"
#include "server/gateway/cluster_clients.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// Short enough that a scheduler which starts after the gateway is found at once.
constexpr absl::Duration kReopenDelay = absl::Milliseconds(200);

}  // namespace

std::string ClusterWatch::View::NotServableReason() const {
  if (!is_connected) return "the scheduler cannot be reached";
  if (!state.not_servable_reason().empty()) return state.not_servable_reason();
  return "no worker can serve a request";
}

// gRPC's threads only post: states are taken on the strand, one after another.
class ClusterWatch::Stream : public grpc::ClientReadReactor<v1::ClusterState> {
 public:
  explicit Stream(ClusterWatch& watch) : watch_(watch) {}

  void Start() {
    watch_.scheduler_.stub().async()->Watch(&context_, &request_, this);
    StartRead(&state_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    watch_.strand_->Post(
        [&watch = watch_, state = std::move(state_)]() mutable { watch.Take(std::move(state)); });
    StartRead(&state_);
  }

  void OnDone(const grpc::Status& status) override {
    watch_.strand_->Post([&watch = watch_, status = FromGrpc(status)] { watch.Lost(status); });
  }

 private:
  ClusterWatch& watch_;
  grpc::ClientContext context_;
  const v1::WatchRequest request_;
  v1::ClusterState state_;
};

ClusterWatch::ClusterWatch(SchedulerClient& scheduler, WorkerStubs& workers,
                           std::shared_ptr<Strand> strand, std::function<void(bool)> on_change)
    : scheduler_(scheduler),
      workers_(workers),
      strand_(std::move(strand)),
      on_change_(std::move(on_change)) {}

ClusterWatch::~ClusterWatch() = default;

void ClusterWatch::Start() {
  strand_->Post([this] { Open(); });
}

void ClusterWatch::Open() {
  // A scheduler that has just started learns only by and by who is there.
  addresses_.clear();
  const absl::MutexLock lock(&mutex_);
  if (is_stopped_) return;
  stream_ = std::make_shared<Stream>(*this);
  stream_->Start();
}

void ClusterWatch::Stop() {
  const absl::MutexLock lock(&mutex_);
  is_stopped_ = true;
  if (stream_ == nullptr) return;
  stream_->Cancel();
  const auto is_gone = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stream_ == nullptr; };
  mutex_.Await(absl::Condition(&is_gone));
}

void ClusterWatch::Take(v1::ClusterState state) {
  absl::flat_hash_set<std::string> addresses;
  std::set<int> block_sizes;
  for (const v1::InstanceState& instance : state.instances()) {
    addresses.insert(instance.registration().address());
    const int block_size = instance.registration().layout().block_size();
    if (block_size > 0) block_sizes.insert(block_size);
  }
  workers_.Retain(addresses);
  for (const std::string& address : addresses_) {
    if (!addresses.contains(address)) workers_.Break(address);
  }
  addresses_ = std::move(addresses);
  const bool was_servable = view()->was_servable || state.servable();
  Publish(std::make_shared<View>(View{.state = std::move(state),
                                      .block_sizes = std::move(block_sizes),
                                      .is_connected = true,
                                      .was_servable = was_servable}));
}

void ClusterWatch::Lost(const absl::Status& status) {
  const std::shared_ptr<const View> last = view();
  if (last->is_connected && !is_stopped())
    LOG(WARNING) << "lost the scheduler: " << status.ToString();
  auto view = std::make_shared<View>(*last);
  view->is_connected = false;
  Publish(std::move(view));
  reopen_ = strand_->RunAfter(kReopenDelay, [this] { Open(); });
  const absl::MutexLock lock(&mutex_);
  if (is_stopped_) reopen_ = nullptr;
  stream_ = nullptr;
}

void ClusterWatch::Publish(std::shared_ptr<const View> next) {
  // Who sees the new view has seen the change announced.
  if (next->is_servable() != view()->is_servable()) on_change_(next->is_servable());
  const absl::MutexLock lock(&mutex_);
  view_ = std::move(next);
}

bool ClusterWatch::is_stopped() const {
  const absl::MutexLock lock(&mutex_);
  return is_stopped_;
}

std::shared_ptr<const ClusterWatch::View> ClusterWatch::view() const {
  const absl::MutexLock lock(&mutex_);
  return view_;
}

int ClusterWatch::MaxModelLen(int fallback) const {
  int smallest = 0;
  for (const v1::InstanceState& instance : view()->state.instances()) {
    const int length = instance.registration().model().max_model_len();
    if (length > 0 && (smallest == 0 || length < smallest)) smallest = length;
  }
  return smallest > 0 ? smallest : fallback;
}

}  // namespace tandem
