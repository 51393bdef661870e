"""More sequences than the KV pool holds: those that lose their blocks go on with what the host tier kept of them."""

import concurrent.futures
import re

import pytest

from tandem_server import TandemServer, wait_until

NUM_REQUESTS = 8
# Room for about a third of what all of them come to.
SMALL_POOL = ["--kv-cache-bytes", "24MiB", "--max-model-len", "512"]


def body(i: int) -> dict:
    return {"prompt": f"Tale {i}: " + "far " * (5 * i) + "away there lived", "max_tokens": 300, "ignore_eos": True,
            "temperature": 0.7, "seed": i, "presence_penalty": 0.3, "logprobs": 1}


def answer(server, i: int):
    choice = server.post("/v1/completions", body(i))["choices"][0]
    return choice["text"], choice["logprobs"]["token_logprobs"]


def counts(server, name: str, label: str) -> dict[str, float]:
    """Of all workers, by the value of `label`."""
    _, _, text = server.request("GET", "/metrics")
    sums: dict[str, float] = {}
    for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text.decode(), re.MULTILINE):
        key = re.search(rf'{label}="([^"]*)"', labels).group(1)
        sums[key] = sums.get(key, 0) + float(value)
    return sums


@pytest.fixture(scope="module")
def undisturbed(server):
    return [answer(server, i) for i in range(NUM_REQUESTS)]


def answers_at_once(server):
    with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
        return list(pool.map(lambda i: answer(server, i), range(NUM_REQUESTS)))


@pytest.mark.parametrize("shape", [["--mixed", "1"], ["--prefill", "1", "--decode", "1"]], ids=["mixed", "1P1D"])
def test_preempted_requests_are_swapped_and_answer_the_same(undisturbed, shape):
    with TandemServer(*shape, *SMALL_POOL) as server:
        assert answers_at_once(server) == undisturbed
        preemptions = counts(server, "tandem_preemptions_total", "how")
        moved = counts(server, "tandem_kv_swap_bytes_total", "direction")
        assert preemptions["swap"] > 0 and preemptions["recompute"] == 0
        assert moved["out"] >= moved["in"] > 0
        server.check_no_block_is_lost()
        wait_until(lambda: counts(server, "tandem_kv_host_blocks", "state")["swapped"] == 0, "the host tier is empty")


def test_without_a_host_tier_they_are_computed_again(undisturbed):
    with TandemServer("--mixed", "1", *SMALL_POOL, "--swap-bytes", "0") as server:
        assert answers_at_once(server) == undisturbed
        preemptions = counts(server, "tandem_preemptions_total", "how")
        assert preemptions["swap"] == 0 and preemptions["recompute"] > 0
        assert sum(counts(server, "tandem_kv_host_blocks", "state").values()) == 0
