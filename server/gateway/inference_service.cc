#include "server/gateway/inference_service.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/error.h"
#include "server/gateway/generate_call.h"
#include "server/gateway/http_router.h"
#include "server/gateway/wire_format.h"
#include "server/grpc_status.h"

namespace tandem {
namespace {

// A stream that is refused before it begins.
class RefusedCall final : public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  explicit RefusedCall(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return InvalidField(field,
                      absl::StrCat(field, " must be between ", min, " and ", max, ", got ", value));
}

absl::Status TakeTarget(absl::string_view field, double ms, std::optional<absl::Duration>& target) {
  if (!(ms >= 0)) return InvalidField(field, absl::StrCat(field, " must not be negative"));
  if (ms > 0) target = absl::Milliseconds(ms);
  return absl::OkStatus();
}

absl::Status TakeSlo(const v1::GenerateRequest& proto, SloWish& slo) {
  slo.class_name = proto.slo_class();
  RETURN_IF_ERROR(TakeTarget("ttft_target_ms", proto.ttft_target_ms(), slo.ttft));
  RETURN_IF_ERROR(TakeTarget("tpot_target_ms", proto.tpot_target_ms(), slo.tpot));
  if (proto.has_reject_late()) slo.reject_late = proto.reject_late();
  return absl::OkStatus();
}

absl::Status TakeInput(const v1::GenerateRequest& proto, ApiRequest& request) {
  request.kind = ApiKind::kCompletions;
  switch (proto.input_case()) {
    case v1::GenerateRequest::kText:
      request.prompts.emplace_back(proto.text());
      return absl::OkStatus();
    case v1::GenerateRequest::kTokens: {
      const auto& ids = proto.tokens().ids();
      request.prompts.emplace_back(std::vector<TokenId>(ids.begin(), ids.end()));
      return absl::OkStatus();
    }
    case v1::GenerateRequest::kChat: {
      request.kind = ApiKind::kChat;
      request.messages = Json::array();
      for (const v1::ChatMessage& message : proto.chat().messages()) {
        request.messages.push_back({{"role", message.role()}, {"content", message.content()}});
      }
      if (!request.messages.empty()) return absl::OkStatus();
      return InvalidField("chat", "chat must have at least one message");
    }
    case v1::GenerateRequest::INPUT_NOT_SET:
      break;
  }
  return InvalidField("input", "one of text, tokens and chat must be given");
}

}  // namespace

absl::StatusOr<ApiRequest> FromProto(const v1::GenerateRequest& proto) {
  ApiRequest request;
  RETURN_IF_ERROR(TakeInput(proto, request));
  const v1::SamplingParams& sampling = proto.sampling();
  request.model = proto.model();
  request.sampling = FromProto(sampling);
  request.has_seed = sampling.has_seed();
  if (sampling.has_max_tokens()) {
    RETURN_IF_ERROR(CheckRange("sampling.max_tokens", sampling.max_tokens(), 1, INT32_MAX));
    request.max_tokens = sampling.max_tokens();
  }
  if (sampling.has_num_logprobs()) {
    RETURN_IF_ERROR(CheckRange("sampling.num_logprobs", sampling.num_logprobs(), 0, kMaxLogprobs));
  }
  if (sampling.has_num_prompt_logprobs()) {
    RETURN_IF_ERROR(CheckRange("sampling.num_prompt_logprobs", sampling.num_prompt_logprobs(), 0,
                               kMaxLogprobs));
  }
  request.n = proto.n() == 0 ? 1 : static_cast<int>(std::min<uint32_t>(proto.n(), INT32_MAX));
  RETURN_IF_ERROR(CheckRange("n", request.n, 1, kMaxSamples));
  request.stop_strings.assign(proto.stop().begin(), proto.stop().end());
  RETURN_IF_ERROR(CheckStopStrings("stop", request.stop_strings));
  request.include_stop_str_in_output = proto.include_stop_str_in_output();
  request.ignore_eos = proto.ignore_eos();
  if (proto.has_skip_special_tokens()) request.skip_special_tokens = proto.skip_special_tokens();
  request.priority = proto.priority();
  request.cache_salt = proto.cache_salt();
  request.tenant = proto.tenant();
  RETURN_IF_ERROR(TakeSlo(proto, request.slo));
  request.stream = true;
  return request;
}

SloWish SloWishOf(const v1::GenerateRequest& proto) {
  SloWish slo;
  TakeSlo(proto, slo).IgnoreError();  // what it has taken until then is what counts
  return slo;
}

absl::Status InferenceService::CheckKey(const grpc::CallbackServerContext& context) const {
  if (parts_.api_keys.empty()) return absl::OkStatus();
  const auto entry = context.client_metadata().find("authorization");
  const absl::string_view value =
      entry == context.client_metadata().end()
          ? absl::string_view()
          : absl::string_view(entry->second.data(), entry->second.size());
  if (IsKnownKey(parts_.api_keys, BearerKey(value))) return absl::OkStatus();
  return absl::UnauthenticatedError("a valid API key is needed: authorization: Bearer KEY");
}

grpc::ServerWriteReactor<v1::GenerateResponse>* InferenceService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  if (const absl::Status status = CheckKey(*context); !status.ok()) return new RefusedCall(status);
  const auto call =
      std::make_shared<GenerateCall>(GenerateCall::Parts{.model = parts_.model,
                                                         .cluster = parts_.cluster,
                                                         .active_requests = parts_.active_requests,
                                                         .services = parts_.services,
                                                         .event_loop = parts_.event_loop,
                                                         .strand = parts_.event_loop.NewStrand()},
                                     *request);
  call->Start();
  return call.get();
}

grpc::ServerUnaryReactor* InferenceService::GetModelInfo(grpc::CallbackServerContext* context,
                                                         const v1::GetModelInfoRequest* request,
                                                         v1::GetModelInfoResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::Status status = CheckKey(*context);
  if (status.ok()) status = parts_.model.CheckName(request->model());
  if (!status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  const ModelInfo& model = parts_.model;
  response->set_id(model.name());
  response->set_architecture(model.config.architecture);
  response->set_max_model_len(parts_.cluster.MaxModelLen(model.config.max_position));
  response->set_vocab_size(model.config.vocab_size);
  response->set_num_layers(model.config.num_layers);
  for (const TokenId token : model.tokenizer->EndOfTurnIds()) {
    response->add_eos_token_ids(static_cast<uint32_t>(token));
  }
  response->set_has_chat_template(model.chat_template != nullptr);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace tandem
