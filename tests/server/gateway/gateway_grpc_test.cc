// tandem.v1.Inference, grpc.health.v1 and reflection on the gateway's gRPC port.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/inference.grpc.pb.h"
#include "server/gateway/prepared_request.h"
#include "tests/server/gateway/gateway_fixture.h"

namespace tandem::testing {
namespace {

using ::testing::HasSubstr;

class GatewayGrpcTest : public GatewayFixture {
 protected:
  std::shared_ptr<grpc::Channel> NewChannel() const {
    return grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->grpc_port()),
                               grpc::InsecureChannelCredentials());
  }
  std::unique_ptr<v1::Inference::Stub> NewStub() const {
    return v1::Inference::NewStub(NewChannel());
  }

  struct Result {
    std::vector<v1::GenerateResponse> responses;
    std::string text;
    grpc::Status status;
  };
  Result Generate(const v1::GenerateRequest& request, const std::string& key = "") const {
    const auto stub = NewStub();
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", key));
    const auto reader = stub->Generate(&context, request);
    Result result;
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      result.text += response.text();
      result.responses.push_back(response);
    }
    result.status = reader->Finish();
    return result;
  }
  static v1::GenerateRequest TextRequest(const std::string& text) {
    v1::GenerateRequest request;
    request.set_text(text);
    return request;
  }

  // A unary or streamed call by name, with messages as bytes: what a client without our protos
  // sees.
  static std::string CallRaw(const std::shared_ptr<grpc::Channel>& channel,
                             const std::string& method, const std::string& message) {
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, method, &queue);
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    call->StartCall(nullptr);
    wait();
    const grpc::Slice slice(message);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    wait();
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    const bool has_answer = wait();
    context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    if (!has_answer) return "";
    grpc::Slice bytes;
    if (!answer.DumpToSingleSlice(&bytes).ok()) return "";
    return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }
};

TEST_F(GatewayGrpcTest, StreamsTextAndTokens) {
  AnswerWith("Hello");
  Start();
  v1::GenerateRequest request = TextRequest("Hi");
  request.set_request_id("abc");
  const Result result = Generate(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.text, "Hello");
  ASSERT_EQ(result.responses.size(), 6u);
  EXPECT_EQ(result.responses[0].request_id(), "abc");
  EXPECT_EQ(result.responses[0].tokens(0).token(), static_cast<uint32_t>(Ids("H")[0]));
  const v1::GenerateResponse& last = result.responses.back();
  EXPECT_EQ(last.finish_reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(last.usage().prompt_tokens(), 2);
  EXPECT_EQ(last.usage().completion_tokens(), 5);
  EXPECT_EQ(last.usage().cached_tokens(), 1);
  EXPECT_EQ(last.usage().kv_bytes(), 1000);
  EXPECT_EQ(last.usage().path(), "disaggregated");
}

TEST_F(GatewayGrpcTest, ReadsALongRequestAsideAndAnswersItAlike) {
  AnswerWith("Hello");
  Start();
  v1::GenerateRequest request = TextRequest("Hi");
  request.set_cache_salt(std::string(kLongBytes, 'x'));
  const Result result = Generate(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.text, "Hello");
  request.mutable_sampling()->set_temperature(-1);
  EXPECT_EQ(Generate(request).status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GatewayGrpcTest, CountsAPromptThatHadToBeComputedAgain) {
  AnswerWith("Hello");
  decode_worker_.decode = [tokens = Ids("Hello")](const auto&, const auto& call) {
    v1::TokenEvent event;
    event.set_index(1);
    for (size_t i = 1; i < tokens.size(); ++i) event.add_tokens()->set_token(tokens[i]);
    event.mutable_stats()->set_recomputed(true);
    call->Send(std::move(event));
  };
  Start();
  v1::GenerateRequest request = TextRequest("Hi");
  request.add_stop("lo");
  const Result result = Generate(request);
  EXPECT_EQ(result.text, "Hel");
  EXPECT_EQ(result.responses.back().usage().path(), "recomputed");
  EXPECT_THAT(Get("/metrics").body, HasSubstr("tandem_fallback_total{reason=\"recomputed\"} 1"));
}

TEST_F(GatewayGrpcTest, TakesTokensAndChats) {
  AnswerWith("Hello");
  Start();
  v1::GenerateRequest tokens;
  tokens.mutable_tokens()->add_ids(44);
  tokens.set_n(2);
  tokens.mutable_sampling()->set_max_tokens(2);
  const Result two = Generate(tokens);
  EXPECT_TRUE(two.status.ok());
  EXPECT_EQ(scheduler_.route_requests().size(), 2u);
  v1::GenerateRequest chat;
  v1::ChatMessage& message = *chat.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content("Hi");
  const Result answer = Generate(chat);
  EXPECT_EQ(answer.text, "Hello");
  EXPECT_EQ(answer.responses.back().usage().prompt_tokens(),
            static_cast<int>(Ids("[user]Hi[assistant]").size()));
}

TEST_F(GatewayGrpcTest, MapsFailuresToStatusCodes) {
  Start({.api_keys = {"secret"}});
  EXPECT_EQ(Generate(TextRequest("Hi")).status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  v1::GenerateRequest nothing;
  EXPECT_EQ(Generate(nothing, "secret").status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::GenerateRequest unknown = TextRequest("Hi");
  unknown.set_model("x");
  EXPECT_EQ(Generate(unknown, "secret").status.error_code(), grpc::StatusCode::NOT_FOUND);
  v1::GenerateRequest hot = TextRequest("Hi");
  hot.mutable_sampling()->set_temperature(-1);
  const grpc::Status status = Generate(hot, "secret").status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("temperature"));
  v1::GenerateRequest too_many = TextRequest("Hi");
  too_many.set_n(4000000000);
  EXPECT_EQ(Generate(too_many, "secret").status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GatewayGrpcTest, PassesOnAWorkersFailure) {
  prefill_worker_.prefill = [](const auto&, const auto& call) {
    call->Close(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full"));
  };
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  EXPECT_EQ(Generate(TextRequest("Hi")).status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(decode_worker_.WaitUntilNoneIsOpen());
}

TEST_F(GatewayGrpcTest, CancelsBothWorkersWhenTheClientCancels) {
  prefill_worker_.prefill = [](const auto&, const auto&) {};
  decode_worker_.decode = [](const auto&, const auto&) {};
  Start();
  const auto stub = NewStub();
  grpc::ClientContext context;
  const auto reader = stub->Generate(&context, TextRequest("Hi"));
  ASSERT_TRUE(prefill_worker_.WaitForOpened(1));
  ASSERT_TRUE(decode_worker_.WaitForOpened(1));
  context.TryCancel();
  EXPECT_TRUE(prefill_worker_.WaitForCancelled(1));
  EXPECT_TRUE(decode_worker_.WaitForCancelled(1));
  EXPECT_TRUE(scheduler_.WaitForCompleted(1));
}

TEST_F(GatewayGrpcTest, DescribesTheModel) {
  Start();
  const auto stub = NewStub();
  grpc::ClientContext context;
  v1::GetModelInfoResponse info;
  ASSERT_TRUE(stub->GetModelInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.id(), "m");
  EXPECT_EQ(info.architecture(), "llama");
  EXPECT_EQ(info.max_model_len(), 64);
  EXPECT_EQ(info.vocab_size(), TestModel::kVocabSize);
  EXPECT_EQ(info.num_layers(), 4);
  EXPECT_THAT(info.eos_token_ids(), ::testing::ElementsAre(2, 4));
  EXPECT_TRUE(info.has_chat_template());
}

TEST_F(GatewayGrpcTest, ReportsHealthPerService) {
  Start();
  // HealthCheckResponse{status = 1}: SERVING.
  const std::string serving = "\x08\x01";
  EXPECT_EQ(CallRaw(NewChannel(), "/grpc.health.v1.Health/Check", ""), serving);
  const std::string service = "tandem.v1.Inference";
  const std::string request = absl::StrCat("\x0a", std::string(1, service.size()), service);
  EXPECT_EQ(CallRaw(NewChannel(), "/grpc.health.v1.Health/Check", request), serving);
}

TEST_F(GatewayGrpcTest, ReportsNotServingWithoutARoute) {
  scheduler_.cluster.add_instances();
  scheduler_.cluster.set_servable(false);
  Start();
  // HealthCheckResponse{status = 2}: NOT_SERVING.
  EXPECT_EQ(CallRaw(NewChannel(), "/grpc.health.v1.Health/Check", ""), "\x08\x02");
}

TEST_F(GatewayGrpcTest, ListsItsServicesByReflection) {
  Start();
  // ServerReflectionRequest{list_services = "*"}.
  const std::string services =
      CallRaw(NewChannel(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              std::string("\x3a\x01*"));
  EXPECT_THAT(services, HasSubstr("tandem.v1.Inference"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
}

}  // namespace
}  // namespace tandem::testing
