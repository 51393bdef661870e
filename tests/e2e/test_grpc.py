"""The gRPC services, found as grpcurl finds them: by reflection."""

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tandem_server import wait_until

SERVICE = "tandem.v1.Inference"


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


class Inference:
    """A client of the service made from what reflection tells."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.service = DescriptorPool(self.database).FindServiceByName(SERVICE)

    def request(self, method: str, **fields):
        return message_factory.GetMessageClass(self.service.FindMethodByName(method).input_type)(**fields)

    def call(self, method: str, request):
        descriptor = self.service.FindMethodByName(method)
        make = self.channel.unary_stream if descriptor.server_streaming else self.channel.unary_unary
        answer_class = message_factory.GetMessageClass(descriptor.output_type)
        return make(f"/{SERVICE}/{method}", request_serializer=type(request).SerializeToString,
                    response_deserializer=answer_class.FromString)(request, timeout=60)


@pytest.fixture(scope="module")
def inference(channel):
    return Inference(channel)


def greedy_chat(inference, max_tokens: int = 16):
    request = inference.request("Generate")
    request.chat.messages.add(role="user", content="What is the capital of France?")
    request.sampling.temperature = 0
    request.sampling.max_tokens = max_tokens
    return request


def test_reflection_lists_the_services(inference):
    services = set(inference.database.get_services())
    assert {SERVICE, "grpc.health.v1.Health"} <= services


def test_generate_streams_the_answer_of_the_http_api(inference, server):
    responses = list(inference.call("Generate", greedy_chat(inference)))
    plain = server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0,
        "max_tokens": 16})
    assert "".join(response.text for response in responses) == plain["choices"][0]["message"]["content"]
    assert len(responses) > 1
    assert [response.finish_reason for response in responses][-1] != 0
    assert responses[-1].usage.prompt_tokens == plain["usage"]["prompt_tokens"]
    assert responses[-1].usage.completion_tokens == plain["usage"]["completion_tokens"]


def test_generate_takes_tokens(inference, server):
    ids = server.post("/tokenize", {"prompt": "The capital of France is"})["tokens"]
    request = inference.request("Generate")
    request.tokens.ids.extend(ids)
    request.sampling.temperature = 0
    request.sampling.max_tokens = 3
    responses = list(inference.call("Generate", request))
    assert "".join(response.text for response in responses).startswith(" Paris")
    assert sum(len(response.tokens) for response in responses) == 3


def test_model_info_describes_the_model(inference, server):
    info = inference.call("GetModelInfo", inference.request("GetModelInfo"))
    assert info.id == server.model_name()
    assert (info.architecture, info.max_model_len, info.vocab_size, info.num_layers) == ("llama", 8192, 49152, 30)
    assert info.has_chat_template


def test_unknown_model_is_not_found(inference):
    request = greedy_chat(inference)
    request.model = "x"
    with pytest.raises(grpc.RpcError) as caught:
        list(inference.call("Generate", request))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_bad_value_is_an_invalid_argument_that_names_it(inference):
    request = greedy_chat(inference)
    request.sampling.top_p = 7
    with pytest.raises(grpc.RpcError) as caught:
        list(inference.call("Generate", request))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "top_p" in caught.value.details()


def test_cancelled_call_frees_its_blocks(inference, server):
    request = greedy_chat(inference, max_tokens=4000)
    request.ignore_eos = True
    call = inference.call("Generate", request)
    next(call)
    call.cancel()
    wait_until(lambda: not any(count for state, count in server.kv_blocks().items()
                               if state not in ("free", "cached")), "the blocks of a cancelled call are free")


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(channel, service):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
