"""Workers are killed at any stage while requests run: no request fails, and each has the text it would have had."""

import concurrent.futures
import json
import os
import re
import signal
import time

import pytest

from tandem_server import TandemServer, wait_until

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


def is_idle(server) -> bool:
    return not any(count for state, count in server.kv_blocks().items() if state not in ("free", "cached"))


@pytest.fixture(scope="module")
def undisturbed(server):
    return [answer(server, i) for i in range(NUM_REQUESTS)]


@pytest.mark.parametrize("role", ["prefill", "decode"])
@pytest.mark.parametrize("shape", ["1P1D", "2P2D"])
def test_killed_workers_cost_no_request(undisturbed, shape, role):
    """Kills at several moments of one load, the last survivor of its role included: it is started again."""
    prefill, decode = shape[0], shape[2]
    with TandemServer("--prefill", prefill, "--decode", decode) as server:
        with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
            futures = [pool.submit(answer, server, i) for i in range(NUM_REQUESTS)]
            for pause_s in (0.1, 0.4, 0.8):
                time.sleep(pause_s)
                if workers := server.workers(role):
                    os.kill(workers[0], signal.SIGKILL)
            assert [future.result() for future in futures] == undisturbed
        assert sum(fallbacks(server).values()) > 0
        wait_until(lambda: is_idle(server), "every block is free or cached again")
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
        with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
            futures = [pool.submit(answer, other, i) for i in range(NUM_REQUESTS)]
            time.sleep(0.5)
            paused = other.workers(role)[0]
            os.kill(paused, signal.SIGSTOP)
            try:
                time.sleep(4)
            finally:
                os.kill(paused, signal.SIGCONT)
            assert [future.result() for future in futures] == undisturbed
        wait_until(lambda: is_idle(other), "every block is free or cached again")


def test_a_worker_that_is_told_to_end_hands_its_streams_on(server):
    """SIGTERM with no time to finish: what is cut goes on at the other decode worker."""
    wanted = {**body(1), "max_tokens": 120}
    with TandemServer("--prefill", "1", "--decode", "2", "--drain-timeout", "0") as other:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(other.post, "/v1/completions", wanted) for _ in range(4)]
            wait_until(lambda: other.kv_blocks()["running"] > 0, "requests run")
            time.sleep(0.3)
            os.kill(other.workers("decode")[0], signal.SIGTERM)
            texts = {future.result()["choices"][0]["text"] for future in futures}
        assert texts == {server.post("/v1/completions", wanted)["choices"][0]["text"]}
