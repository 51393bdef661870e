"""Workers are killed at any stage while requests run: no request fails, and each has the text it would have had."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import time

import pytest

from tandem_server import MODEL, TandemProcess, TandemServer, free_port, wait_until

# Prompts of several lengths; sampled with penalties and a seed, so that a replay has to carry the sampler's state on.
NUM_REQUESTS = 24
STOP = "the"


def body(i: int) -> dict:
    fields = {"prompt": f"Story {i}: once upon a time there was a " + "very " * (3 * i) + "old", "max_tokens": 40,
              "temperature": 0.8, "seed": i, "frequency_penalty": 0.4, "logprobs": 1}
    return fields | ({"stop": [STOP]} if i % 4 == 3 else {"ignore_eos": True})


def answer(server, i: int):
    choice = server.post("/v1/completions", body(i))["choices"][0]
    return choice["text"], choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"], choice["finish_reason"]


def fallbacks(server) -> dict[str, float]:
    _, _, text = server.request("GET", "/metrics")
    return {reason: float(value) for reason, value
            in re.findall(r'^tandem_fallback_total\{reason="(\w+)"\} (\S+)$', text.decode(), re.MULTILINE)}


@pytest.fixture(scope="module")
def undisturbed(server):
    return [answer(server, i) for i in range(NUM_REQUESTS)]


@pytest.mark.parametrize("role", ["prefill", "decode"])
@pytest.mark.parametrize("shape", ["1P1D", "2P2D"])
def test_killed_workers_cost_no_request(undisturbed, shape, role):
    """Kills at several moments of one load, the last survivor of its role included: it is started again."""
    prefill, decode = shape[0], shape[2]
    with TandemServer("--prefill", prefill, "--decode", decode) as server:
        server.await_workers()
        with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
            futures = [pool.submit(answer, server, i) for i in range(NUM_REQUESTS)]
            for pause_s in (0.1, 0.4, 0.8):
                time.sleep(pause_s)  # any moment will do
                if workers := server.workers(role):
                    os.kill(workers[0], signal.SIGKILL)
            assert [future.result() for future in futures] == undisturbed
        assert sum(fallbacks(server).values()) > 0
        server.check_no_block_is_lost()
        wait_until(lambda: len(server.workers()) == int(prefill) + int(decode), "killed workers are started again")


def test_a_stream_shows_no_gap_and_no_repetition(server):
    """Decode is killed in the middle of a stream."""
    wanted = {**body(0), "max_tokens": 80}
    with TandemServer() as other:
        connection = other.connection()
        connection.request("POST", "/v1/completions", json.dumps({**wanted, "stream": True}),
                           {"Content-Type": "application/json"})
        texts = []
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                texts.append(json.loads(line[6:])["choices"][0]["text"])
                if len(texts) == 20:
                    os.kill(other.workers("decode")[0], signal.SIGKILL)
        assert "".join(texts) == server.post("/v1/completions", wanted)["choices"][0]["text"]
        assert fallbacks(other)["migrated"] == 1


@pytest.mark.parametrize("role", ["prefill", "decode"])
def test_a_worker_that_only_pauses_is_replaced_and_what_it_still_sends_dropped(undisturbed, role):
    with TandemServer("--prefill", "2", "--decode", "2") as other:
        other.await_workers()
        with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
            futures = [pool.submit(answer, other, i) for i in range(NUM_REQUESTS)]
            time.sleep(0.5)
            paused = other.workers(role)[0]
            os.kill(paused, signal.SIGSTOP)
            try:
                wait_until(lambda: fallbacks(other)["migrated"] > 0, "its requests go on elsewhere")
            finally:
                os.kill(paused, signal.SIGCONT)
            assert [future.result() for future in futures] == undisturbed
        other.check_no_block_is_lost()


def test_a_worker_that_is_told_to_end_hands_its_streams_on(server):
    """SIGTERM with no time to finish: what is cut goes on at the other decode worker."""
    wanted = {**body(1), "max_tokens": 120}
    with TandemServer("--prefill", "1", "--decode", "2", "--drain-timeout", "0") as other:
        other.await_workers()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(other.post, "/v1/completions", wanted) for _ in range(4)]
            wait_until(lambda: other.kv_blocks()["running"] > 0, "requests run")
            time.sleep(0.3)
            os.kill(other.workers("decode")[0], signal.SIGTERM)
            texts = {future.result()["choices"][0]["text"] for future in futures}
        assert texts == {server.post("/v1/completions", wanted)["choices"][0]["text"]}


@contextlib.contextmanager
def cluster(num_gateways: int):
    """A scheduler, a prefill and a decode worker, and gateways, each a process that can be killed alone."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        address = ["--scheduler", f"127.0.0.1:{port}"]
        # Gateways first: any order of starts will do.
        gateways = [stack.enter_context(TandemServer(*address, command="gateway")) for _ in range(num_gateways)]
        for role in ("decode", "prefill"):
            stack.enter_context(TandemProcess("worker", "--role", role, "--model", MODEL, *address, "--grpc-port", "0",
                                              "--threads", "1"))
        scheduler = stack.enter_context(TandemProcess("scheduler", "--grpc-port", str(port)))
        for gateway in gateways:
            wait_until(lambda: gateway.request("GET", "/ready")[0] == 200, "ready", timeout_s=60)
        yield scheduler, gateways


@pytest.mark.parametrize("has_equal", [True, False], ids=["equal-left", "others-left"])
def test_a_replay_prefers_workers_that_compute_alike(server, has_equal):
    """Two decode workers, or three, of which one computes in floats; the one that streams is killed."""
    wanted = {**body(2), "max_tokens": 60}
    address = ["--scheduler", f"127.0.0.1:{free_port()}"]
    common = ["--model", MODEL, *address, "--grpc-port", "0", "--threads", "1"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(TandemProcess("scheduler", "--grpc-port", address[1].rsplit(":", 1)[1]))
        workers = {}
        for name, flags in {"p0": [], "d0": [], "d1": ["--no-quantize-activations"],
                            **({"d2": []} if has_equal else {})}.items():
            role = "prefill" if name == "p0" else "decode"
            workers[name] = stack.enter_context(
                TandemProcess("worker", "--role", role, "--instance-id", name, *common, *flags))
        gateway = stack.enter_context(TandemServer(*address, command="gateway"))
        wait_until(lambda: len(gateway.get("/cluster")["instances"]) == len(workers), "all have joined", timeout_s=60)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(gateway.post, "/v1/completions", wanted)
            wait_until(lambda: gateway.kv_blocks()["running"] > 0, "it runs")
            workers["d0"].kill()
            answer = running.result()
        counts = fallbacks(gateway)
        assert answer["tandem"]["path"] == "migrated" and counts["migrated"] == 1
        if has_equal:
            assert answer["tandem"]["decode"] == "d2" and counts["inexact"] == 0
            assert answer["choices"][0]["text"] == server.post("/v1/completions", wanted)["choices"][0]["text"]
        else:
            assert answer["tandem"]["decode"] == "d1" and counts["inexact"] == 1
            assert answer["usage"]["completion_tokens"] == 60


def open_stream(gateway, wanted: dict):
    connection = gateway.connection()
    connection.request("POST", "/v1/completions", json.dumps({**wanted, "stream": True}),
                       {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"data: {")
    return connection, response


def test_killed_scheduler_leaves_running_streams_alone(server):
    wanted = {**body(2), "max_tokens": 250}
    with cluster(num_gateways=1) as (scheduler, (gateway,)):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            running = pool.submit(gateway.post, "/v1/completions", wanted)
            wait_until(lambda: gateway.kv_blocks()["running"] > 0, "the request runs")
            scheduler.kill()
            # A new one waits for the scheduler, and gets its answer when that is back in time.
            waiting = pool.submit(gateway.post, "/v1/completions", body(3))
            time.sleep(1)
            scheduler.start()
            assert waiting.result()["choices"][0]["text"] == server.post("/v1/completions", body(3))["choices"][0]["text"]
            whole = server.post("/v1/completions", wanted)["choices"][0]["text"]
            assert running.result()["choices"][0]["text"] == whole
        assert sum(fallbacks(gateway).values()) == 0
        wait_until(lambda: gateway.request("GET", "/ready")[0] == 200, "ready again")
        scheduler.kill()
        status, headers, text = gateway.request("POST", "/v1/completions", json.dumps(body(4)),
                                                {"Content-Type": "application/json"})
        assert status == 503 and headers["retry-after"], text


def test_killed_gateway_loses_its_own_streams_only(server):
    wanted = {**body(2), "max_tokens": 250}
    with cluster(num_gateways=2) as (_, (first, second)):
        streams = [open_stream(first, wanted) for _ in range(3)]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            other = pool.submit(second.post, "/v1/completions", wanted)
            wait_until(lambda: second.kv_blocks()["running"] > 0, "requests run")
            first.kill()
            assert other.result()["choices"][0]["text"] == server.post("/v1/completions", wanted)["choices"][0]["text"]
        wait_until(second.is_idle, "the blocks of the killed gateway's streams are back")
        for connection, _ in streams:
            connection.close()
