#include "server/gateway/endpoints.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/core/status_macros.h"
#include "server/gateway/answer.h"
#include "server/gateway/chat_messages.h"
#include "server/gateway/error.h"
#include "server/gateway/openai_request.h"
#include "server/gateway/request_headers.h"

namespace tandem {
namespace {

void RespondResult(const HttpCall& call, const absl::StatusOr<Json>& result) {
  if (result.ok()) {
    call.RespondJson(*result);
  } else {
    call.RespondError(result.status());
  }
}

// Optional field `name`, of any of the spellings; null where none is there.
Json Field(const Json& body, std::initializer_list<const char*> spellings) {
  for (const char* name : spellings) {
    const auto field = body.find(name);
    if (field != body.end() && !field->is_null()) return *field;
  }
  return nullptr;
}

}  // namespace

template <typename Work, typename Then>
void Endpoints::Compute(const HttpCall& call, Work work, Then then) const {
  parts_.event_loop.Compute(call.request().body.size() > kLongBytes, call.exchange->strand(),
                            std::move(work), std::move(then));
}

void Endpoints::AddTo(HttpRouter& router) {
  using Access = HttpRouter::Access;
  const auto add = [&router](const char* method, const char* path, Access access,
                             HttpRouter::Handler handler) {
    router.Add(method, path, access, std::move(handler));
  };
  add("POST", "/v1/chat/completions", Access::kNeedsKey,
      [this](const HttpCall& call) { Complete(ApiKind::kChat, call); });
  add("POST", "/v1/completions", Access::kNeedsKey,
      [this](const HttpCall& call) { Complete(ApiKind::kCompletions, call); });
  add("GET", "/v1/models", Access::kNeedsKey, [this](const HttpCall& call) { ListModels(call); });
  add("GET", "/v1/models/*", Access::kNeedsKey, [this](const HttpCall& call) { ShowModel(call); });
  add("POST", "/tokenize", Access::kNeedsKey, [this](const HttpCall& call) {
    Compute(
        call, [this, call] { return Tokenize(call); },
        [call](const absl::StatusOr<Json>& result) { RespondResult(call, result); });
  });
  add("POST", "/detokenize", Access::kNeedsKey, [this](const HttpCall& call) {
    Compute(
        call, [this, call] { return Detokenize(call); },
        [call](const absl::StatusOr<Json>& result) { RespondResult(call, result); });
  });
  for (const char* path : {"/health", "/v1/health", "/ready"}) {
    add("GET", path, Access::kPublic, [this](const HttpCall& call) { Ready(call); });
  }
  add("GET", "/live", Access::kPublic, [](const HttpCall& call) {
    call.RespondJson({{"status", "ok"}});
  });
  add("GET", "/metrics", Access::kPublic, [this](const HttpCall& call) { ShowMetrics(call); });
  add("GET", "/version", Access::kPublic, [this](const HttpCall& call) {
    call.RespondJson({{"version", parts_.version}});
  });
  for (const char* path :
       {"/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"}) {
    add("POST", path, Access::kNeedsKey, [path](const HttpCall& call) {
      call.RespondError(
          absl::UnimplementedError(absl::StrCat(path, " is not supported by this build.")));
    });
  }
}

void Endpoints::Complete(ApiKind kind, const HttpCall& call) const {
  // First, so that turning a request away costs next to nothing.
  absl::StatusOr<ActiveRequests::Place> place = parts_.active_requests.Admit();
  if (!place.ok()) return Refuse(call, place.status());
  Compute(
      call, [this, kind, call] { return Prepare(kind, call); },
      [this, call, place = *std::move(place)](absl::StatusOr<AnswerParts> answer) mutable {
        if (call.exchange->is_over()) answer = absl::CancelledError("the client has gone");
        if (!answer.ok()) return Refuse(call, answer.status());
        Answer::Begin(*std::move(answer), std::move(place), parts_.services);
      });
}

void Endpoints::Refuse(const HttpCall& call, const absl::Status& status) const {
  const SloClasses& classes = parts_.services.slo_classes;
  parts_.metrics.ObserveRequest(
      {.outcome = OutcomeOf(status),
       .slo_class = classes.LabelOf(SloWishOf(call.request().headers, classes))});
  call.RespondError(status, /*close=*/parts_.active_requests.is_draining());
}

absl::StatusOr<AnswerParts> Endpoints::Prepare(ApiKind kind, const HttpCall& call) const {
  const HttpRequest& http = call.request();
  ASSIGN_OR_RETURN(ApiRequest request, ParseOpenAiRequest(kind, http.body));
  RETURN_IF_ERROR(TakeHeaders(http.headers, parts_.services.slo_classes, request));
  ASSIGN_OR_RETURN(PreparedRequest prepared,
                   PrepareRequest(request, parts_.model,
                                  {.max_model_len = MaxModelLen(),
                                   .arrival = http.received,
                                   .random_seed = RandomUint64(),
                                   .slo_classes = &parts_.services.slo_classes}));
  ResponseIdentity identity{
      .id = absl::StrCat(kind == ApiKind::kChat ? "chatcmpl-" : "cmpl-", call.request_id),
      .created = absl::ToUnixSeconds(http.received),
      .model = prepared.model};
  return AnswerParts{.call = call,
                     .request = std::move(request),
                     .prepared = std::move(prepared),
                     .identity = std::move(identity)};
}

Json Endpoints::ModelJson(const std::string& name) const {
  return {{"id", name},
          {"object", "model"},
          {"created", absl::ToUnixSeconds(parts_.model.created)},
          {"owned_by", "tandem"},
          {"root", parts_.model.name()},
          {"parent", nullptr},
          {"max_model_len", MaxModelLen()},
          {"permission", Json::array()}};
}

void Endpoints::ListModels(const HttpCall& call) const {
  Json data = Json::array();
  for (const std::string& name : parts_.model.names) data.push_back(ModelJson(name));
  call.RespondJson({{"object", "list"}, {"data", std::move(data)}});
}

void Endpoints::ShowModel(const HttpCall& call) const {
  const absl::Status status = parts_.model.CheckName(call.path_tail);
  if (!status.ok()) return call.RespondError(status);
  call.RespondJson(ModelJson(call.path_tail));
}

absl::StatusOr<Json> Endpoints::Tokenize(const HttpCall& call) const {
  ASSIGN_OR_RETURN(const Json body, ParseJsonObject(call.request().body));
  const Json name = Field(body, {"model"});
  if (!name.is_null()) {
    ASSIGN_OR_RETURN(const std::string model, AsString("model", name));
    RETURN_IF_ERROR(parts_.model.CheckName(model));
  }
  ApiRequest request;
  const Json special = Field(body, {"add_special_tokens", "add_special"});
  if (!special.is_null()) {
    ASSIGN_OR_RETURN(request.add_special_tokens, AsBool("add_special_tokens", special));
  }
  std::vector<TokenId> tokens;
  if (const Json messages = Field(body, {"messages"}); !messages.is_null()) {
    ASSIGN_OR_RETURN(request.messages, ParseMessages(messages));
    const Json generation = Field(body, {"add_generation_prompt"});
    if (!generation.is_null()) {
      ASSIGN_OR_RETURN(request.add_generation_prompt, AsBool("add_generation_prompt", generation));
    }
    const Json kwargs = Field(body, {"chat_template_kwargs"});
    if (kwargs.is_object()) request.template_variables.update(kwargs);
    ASSIGN_OR_RETURN(tokens, TokenizeChat(request, parts_.model, call.request().received));
  } else {
    const Json prompt = Field(body, {"prompt", "content"});
    if (prompt.is_null()) {
      return InvalidField("prompt", "One of `prompt`, `messages` and `content` is needed.");
    }
    ASSIGN_OR_RETURN(const std::string text, AsString("prompt", prompt));
    // llama.cpp's spelling has llama.cpp's default.
    const bool adds_special = request.add_special_tokens.value_or(!body.contains("content"));
    ASSIGN_OR_RETURN(tokens,
                     parts_.model.tokenizer->Encode(text, {.add_special_tokens = adds_special}));
  }
  Json token_strings = nullptr;
  if (Field(body, {"return_token_strs"}) == true) {
    token_strings = Json::array();
    for (const TokenId token : tokens) {
      token_strings.push_back(std::string(parts_.model.tokenizer->TokenText(token)));
    }
  }
  return Json{{"count", tokens.size()},
              {"max_model_len", MaxModelLen()},
              {"tokens", std::move(tokens)},
              {"token_strs", std::move(token_strings)}};
}

absl::StatusOr<Json> Endpoints::Detokenize(const HttpCall& call) const {
  ASSIGN_OR_RETURN(const Json body, ParseJsonObject(call.request().body));
  const Json tokens = Field(body, {"tokens"});
  if (tokens.is_null()) return InvalidField("tokens", "`tokens` is missing.");
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, AsTokenIds("tokens", tokens));
  RETURN_IF_ERROR(parts_.model.CheckTokens("tokens", ids));
  const std::string text = parts_.model.tokenizer->Decode(ids, /*skip_special=*/false);
  return Json{{"prompt", text}, {"content", text}};
}

void Endpoints::Ready(const HttpCall& call) const {
  const auto view = parts_.cluster.view();
  const bool is_draining = parts_.active_requests.is_draining();
  if (view->is_servable() && !is_draining) return call.RespondJson({{"status", "ok"}});
  // The exact body of llama.cpp, which its clients wait on: here `code` is a number.
  const std::string message = is_draining          ? "Shutting down"
                              : view->was_servable ? view->NotServableReason()
                                                   : "Loading model";
  const Json body = {
      {"error", {{"code", 503}, {"message", message}, {"type", "unavailable_error"}}}};
  call.Respond({.status = 503, .headers = {{"Retry-After", "1"}}, .body = DumpJson(body)});
}

void Endpoints::ShowMetrics(const HttpCall& call) const {
  call.Respond({.content_type = "text/plain; version=0.0.4",
                .body = parts_.metrics.Render(parts_.cluster.view()->state)});
}

}  // namespace tandem
