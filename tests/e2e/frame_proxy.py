"""A gRPC proxy in front of a worker that loses, repeats, swaps or changes the messages of a KV stream."""

import concurrent.futures

import grpc

MAX_STREAMS = 32
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class FrameProxy(grpc.GenericRpcHandler):
    """Forwards the calls of tandem.v1.Worker to `port` on loopback, as raw bytes. `fault(messages)` turns the messages
    of each PullKv stream, source to puller, into those that go on."""

    def __init__(self, port: int, fault):
        self._target, self._fault = port, fault

    def __enter__(self):
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self._target}", UNLIMITED)
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(MAX_STREAMS), [self], options=UNLIMITED)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(grace=None).wait()
        self._channel.close()

    def service(self, details):
        method = details.method
        if method.endswith("/PullKv"):
            call = self._channel.stream_stream(method)
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._fault(forward(call(requests), context)))
        if method.endswith(("/Prefill", "/Decode")):
            call = self._channel.unary_stream(method)
            return grpc.unary_stream_rpc_method_handler(lambda request, context: forward(call(request), context))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: self._channel.unary_unary(method)(request))


def forward(call, context):
    """The messages of `call`, which ends as the proxied one does and the other way round."""
    context.add_callback(call.cancel)
    try:
        yield from call
    except grpc.RpcError as error:
        context.abort(error.code(), error.details())


class OnceOnFrame:
    """Turns KV frame `number` of the first stream that has one and the message behind it into what `act` makes of the
    two, and then nothing more."""

    def __init__(self, number: int, act):
        self._number, self._act = number, act
        self.happened = False

    def __call__(self, messages):
        frames = 0
        for message in messages:
            if message.startswith(b"TKVF"):
                frames += 1
                if frames == self._number and not self.happened:
                    self.happened = True
                    yield from self._act(message, next(messages))
                    continue
            yield message


def drop(_frame: bytes, following: bytes):
    return [following]


def repeat(frame: bytes, following: bytes):
    return [frame, following, frame]


def swap(frame: bytes, following: bytes):
    return [following, frame]


def truncate(frame: bytes, following: bytes):
    return [frame[:-100], following]


def rename(frame: bytes, following: bytes):
    """Of another request."""
    return [frame[:8] + bytes([frame[8] ^ 1]) + frame[9:], following]
