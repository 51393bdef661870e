// A real gateway in front of a fake cluster of one prefill and one decode worker.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/core/ids.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/gateway/gateway.h"
#include "server/gateway/model_info.h"
#include "tests/server/gateway/fake_cluster.h"
#include "tests/server/gateway/http_client.h"
#include "tests/server/gateway/test_model.h"

namespace tandem::testing {

inline constexpr TokenId kEndOfText = 2;  // </s>

class GatewayFixture : public ::testing::Test {
 protected:
  // The same files for every test; removed when the program ends.
  static const TestModel& Model() {
    static const TestModel model;
    return model;
  }
  static const Tokenizer& ModelTokenizer() {
    static const auto* const info =
        new ModelInfo(*LoadModelInfo(Model().path(), {}, "", absl::UnixEpoch()));
    return *info->tokenizer;
  }
  static std::vector<TokenId> Ids(const std::string& text) {
    return *ModelTokenizer().Encode(text, {.add_special_tokens = false});
  }
  ~GatewayFixture() override {
    gateway_ = nullptr;  // before the cluster it talks to
  }

  // Call after the scripts are set.
  void Start(GatewayOptions options = {}) {
    if (scheduler_.cluster.instances().empty()) {
      scheduler_.UsePrefillAndDecode(prefill_worker_, decode_worker_);
    }
    scheduler_.Start();
    StartGateway(std::move(options));
    if (scheduler_.cluster.servable()) WaitUntilReady();
  }
  void StartGateway(GatewayOptions options) {
    options.http_port = 0;
    options.grpc_port = 0;
    options.model_path = Model().path();
    options.scheduler = scheduler_.NewChannel();
    if (options.served_model_names.empty()) options.served_model_names = {"m"};
    options.version = "1.2.3";
    options.replay_timeout = absl::ZeroDuration();
    absl::StatusOr<std::unique_ptr<Gateway>> gateway = Gateway::Create(std::move(options));
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
  }
  // The Watch stream opens after the gateway listens.
  void WaitUntilReady() {
    const absl::Time deadline = absl::Now() + kPatience;
    while (Get("/ready").status != 200) ASSERT_LT(absl::Now(), deadline);
  }

  // Both workers answer with `text`, one token an event, and then the end token: the first token
  // from prefill, the rest from decode.
  void AnswerWith(const std::string& text) {
    std::vector<TokenId> tokens = Ids(text);
    tokens.push_back(kEndOfText);
    prefill_worker_.prefill = [tokens](const v1::PrefillRequest& request, const auto& call) {
      const int index = request.request().generated_size();
      SendToken(*call, tokens, index, request.request().sampling().max_tokens());
      call->Close();
    };
    decode_worker_.decode = [tokens](const v1::DecodeRequest& request, const auto& call) {
      const int max_tokens = request.request().sampling().max_tokens();
      const int begin = request.request().generated_size() + (request.has_prefill() ? 1 : 0);
      for (int i = begin; i < static_cast<int>(tokens.size()) && i < max_tokens; ++i) {
        SendToken(*call, tokens, i, max_tokens);
      }
      call->Close();
    };
  }

  // Token `index` of an answer, with how the request ends if it does there.
  static void SendToken(FakeCall& call, const std::vector<TokenId>& tokens, int index,
                        int max_tokens) {
    v1::TokenEvent event;
    event.set_index(index);
    event.add_tokens()->set_token(tokens[index]);
    event.mutable_tokens(0)->set_logprob(-0.5f);
    if (index == 0) event.set_cached_tokens(1);
    if (tokens[index] == kEndOfText) {
      event.set_finish_reason(v1::FINISH_REASON_STOP);
      event.set_stop_token(kEndOfText);
    } else if (index + 1 == max_tokens) {
      event.set_finish_reason(v1::FINISH_REASON_LENGTH);
    }
    if (event.finish_reason() != v1::FINISH_REASON_UNSPECIFIED && index > 0) {
      event.mutable_stats()->set_kv_bytes(1000);
    }
    call.Send(std::move(event));
  }

  ClientResponse Get(absl::string_view path) const {
    return Fetch(gateway_->http_port(), "GET", path);
  }
  ClientResponse Post(absl::string_view path, const Json& body,
                      absl::string_view headers = "") const {
    return Fetch(gateway_->http_port(), "POST", path, body.dump(), headers);
  }
  ClientResponse Chat(Json body) const {
    body["messages"] = {{{"role", "user"}, {"content", "Hi"}}};
    return Post("/v1/chat/completions", body);
  }
  ClientResponse Complete(Json body) const { return Post("/v1/completions", body); }

  FakeWorker prefill_worker_;
  FakeWorker decode_worker_;
  FakeScheduler scheduler_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace tandem::testing
