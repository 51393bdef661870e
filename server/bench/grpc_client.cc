#include "server/bench/grpc_client.h"

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/post.hpp"
#include "server/grpc_channel.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

namespace asio = boost::asio;

struct GrpcShared {
  asio::io_context& context;
  const GrpcClientOptions options;
  std::unique_ptr<v1::Inference::Stub> stub;
};

std::chrono::system_clock::time_point DeadlineIn(absl::Duration timeout) {
  return std::chrono::system_clock::now() + absl::ToChronoNanoseconds(timeout);
}

// gRPC calls the reactor's methods in threads of its own, one at a time; what they have gathered
// goes to the io_context's thread with the end of the call.
class GrpcExchange : public Exchange,
                     public grpc::ClientReadReactor<v1::GenerateResponse>,
                     public std::enable_shared_from_this<GrpcExchange> {
 public:
  GrpcExchange(std::shared_ptr<GrpcShared> shared, v1::GenerateRequest request)
      : shared_(std::move(shared)), request_(std::move(request)) {}

  void Start(RequestRecord& record, Done done) override {
    record_ = &record;
    done_ = std::move(done);
    self_ = shared_from_this();
    work_.emplace(shared_->context.get_executor());
    sent_ = BenchClock::now();
    call_.set_deadline(DeadlineIn(shared_->options.timeout));
    shared_->stub->async()->Generate(&call_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void Cancel(const std::string& reason) override {
    if (done_ == nullptr) return;
    cancel_reason_ = reason;
    call_.TryCancel();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    const absl::Duration since_sent = TimeSince(sent_);
    if (response_.tokens_size() > 0 || !response_.text().empty()) {
      if (!response_.text().empty() && !has_text_) {
        has_text_ = true;
        first_ = since_sent;
        gaps_ms_.clear();
      } else if (first_) {
        gaps_ms_.push_back(absl::ToDoubleMilliseconds(since_sent - last_));
      } else {
        first_ = since_sent;
      }
      last_ = since_sent;
      num_tokens_ += response_.tokens_size();
    }
    if (response_.has_usage()) usage_ = response_.usage();
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    ended_ = TimeSince(sent_);
    asio::post(shared_->context, [this, status] { Finish(status); });
  }

 private:
  void Finish(const grpc::Status& status) {
    const std::shared_ptr<GrpcExchange> self = std::move(self_);
    record_->cached_tokens = usage_.cached_tokens();
    record_->path = usage_.path();
    record_->output_tokens =
        usage_.completion_tokens() > 0 ? usage_.completion_tokens() : num_tokens_;
    if (usage_.prompt_tokens() > 0) record_->prompt_tokens = usage_.prompt_tokens();
    record_->token_gaps_ms = std::move(gaps_ms_);
    if (status.ok() && first_) {
      record_->outcome = RequestRecord::Outcome::kServed;
      record_->ttft = *first_;
      record_->latency = last_;
    } else {
      NoteFailure(status);
    }
    work_.reset();
    std::exchange(done_, nullptr)();
  }

  void NoteFailure(const grpc::Status& status) {
    const bool is_shed =
        cancel_reason_.empty() && status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    record_->outcome = is_shed ? RequestRecord::Outcome::kShed : RequestRecord::Outcome::kFailed;
    record_->error = !cancel_reason_.empty() ? cancel_reason_
                     : status.ok()           ? std::string("the answer was empty")
                                             : FromGrpc(status).ToString();
    record_->latency = ended_;
  }

  const std::shared_ptr<GrpcShared> shared_;
  const v1::GenerateRequest request_;
  // The io_context has no other sign that there is something to wait for.
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  RequestRecord* record_ = nullptr;
  Done done_;
  std::string cancel_reason_;
  BenchClock::time_point sent_;
  std::shared_ptr<GrpcExchange> self_;  // while gRPC may call

  // Of gRPC's threads until the end of the call.
  grpc::ClientContext call_;
  v1::GenerateResponse response_;
  std::optional<absl::Duration> first_;  // with text, once one has come
  bool has_text_ = false;
  absl::Duration last_, ended_;
  std::vector<double> gaps_ms_;
  int num_tokens_ = 0;
  v1::Usage usage_;
};

class GrpcClient : public Client {
 public:
  explicit GrpcClient(std::shared_ptr<GrpcShared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Exchange> Prepare(const Ask& ask) override {
    const GrpcClientOptions& options = shared_->options;
    v1::GenerateRequest request;
    request.set_model(ask.model.empty() ? options.model : ask.model);
    request.set_request_id(ask.id);
    if (options.is_chat) {
      v1::ChatMessage* message = request.mutable_chat()->add_messages();
      message->set_role("user");
      message->set_content(ask.text);
    } else if (!ask.text.empty()) {
      request.set_text(ask.text);
    } else {
      request.mutable_tokens()->mutable_ids()->Add(ask.tokens.begin(), ask.tokens.end());
    }
    request.mutable_sampling()->set_temperature(0);
    request.mutable_sampling()->set_max_tokens(ask.output_tokens);
    request.set_ignore_eos(options.ignore_eos);
    request.set_priority(ask.priority);
    request.set_tenant(ask.tenant);
    if (ask.names_targets) {
      request.set_slo_class(ask.slo_class);
      request.set_ttft_target_ms(absl::ToDoubleMilliseconds(options.ttft_target));
      request.set_tpot_target_ms(absl::ToDoubleMilliseconds(options.tpot_target));
    }
    return std::make_shared<GrpcExchange>(shared_, std::move(request));
  }

 private:
  const std::shared_ptr<GrpcShared> shared_;
};

}  // namespace

absl::StatusOr<v1::GetModelInfoResponse> AskModelInfo(const std::string& address) {
  const auto stub = v1::Inference::NewStub(CreateControlChannel(address));
  grpc::ClientContext call;
  constexpr absl::Duration kTimeout = absl::Seconds(10);
  call.set_deadline(DeadlineIn(kTimeout));
  v1::GetModelInfoResponse response;
  const grpc::Status status = stub->GetModelInfo(&call, {}, &response);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot ask ", address, ": ", status.error_message()));
  }
  return response;
}

std::unique_ptr<Client> MakeGrpcClient(const GrpcClientOptions& options,
                                       asio::io_context& context) {
  // Without an argument of its own, gRPC would let all clients share one connection.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return std::make_unique<GrpcClient>(std::make_shared<GrpcShared>(GrpcShared{
      .context = context,
      .options = options,
      .stub = v1::Inference::NewStub(CreateControlChannel(options.address, arguments))}));
}

}  // namespace tandem
