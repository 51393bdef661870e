"""However prefill and decode are spread over processes, and whatever else runs, a request gets the same tokens."""

import concurrent.futures
import re

import pytest

from tandem_server import TandemServer

# Of different lengths, so that batches mix them: some longer than the step budget, so that they are cut into chunks.
PROMPTS = (["The capital of France is", "def fibonacci(n):", "Once upon a time", "Water boils at"] +
           [f"Item {i}: " + "the quick brown fox jumps over the lazy dog. " * (4 * i) for i in range(1, 5)])
STEP_BUDGET_FLAGS = ["--max-num-batched-tokens", "64"]
NUM_ROUNDS = 2


def answer(server, prompt: str):
    """Text and every token with its log-probability: equal only if the very same numbers were computed."""
    choice = server.post("/v1/completions", {"prompt": prompt, "max_tokens": 24, "temperature": 0, "logprobs": 1,
                                             "ignore_eos": True})["choices"][0]
    return choice["text"], choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]


def answers_under_load(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda prompt: answer(server, prompt), PROMPTS * NUM_ROUNDS))


@pytest.fixture(scope="module")
def alone(server):
    """Each prompt by itself on 1P1D."""
    return [answer(server, prompt) for prompt in PROMPTS]


def test_1p1d_under_load_answers_as_if_alone(server, alone):
    assert answers_under_load(server) == alone * NUM_ROUNDS


@pytest.mark.parametrize("flags", [
    ["--mixed", "1", *STEP_BUDGET_FLAGS],
    ["--prefill", "2", "--decode", "1", *STEP_BUDGET_FLAGS],
    ["--prefill", "1", "--decode", "2"],
], ids=["mixed", "2P1D", "1P2D"])
def test_other_topologies_under_load_answer_alike(alone, flags):
    with TandemServer(*flags) as server:
        num_workers = sum(int(flag) for flag in re.findall(r"--(?:prefill|decode|mixed) (\d+)", " ".join(flags)))
        assert len(server.workers()) == num_workers
        assert answers_under_load(server) == alone * NUM_ROUNDS


@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_1p1d_answers_like_mixed_with_another_kv_type(alone, dtype):
    flags = ["--kv-cache-dtype", dtype, *STEP_BUDGET_FLAGS]
    with TandemServer("--prefill", "1", "--decode", "1", *flags) as server:
        disaggregated = answers_under_load(server)
    with TandemServer("--mixed", "1", *flags) as server:
        assert [answer(server, prompt) for prompt in PROMPTS] * NUM_ROUNDS == disaggregated
    assert disaggregated != alone * NUM_ROUNDS  # the option matters


def test_a_chat_computes_only_what_is_new(server):
    """Cached tokens grow from turn to turn, and the answers are those of a server without prefix cache."""
    def talk(server) -> tuple[list[str], list[int]]:
        messages = [{"role": "system", "content": "Answer briefly. This is chat 4711."}]
        answers, cached = [], []
        for question in ("What is the capital of France?", "And of Italy?", "Which of the two is older?"):
            messages.append({"role": "user", "content": question})
            body = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 24, "temperature": 0})
            answers.append(body["choices"][0]["message"]["content"])
            messages.append({"role": "assistant", "content": answers[-1]})
            cached.append(body["usage"]["prompt_tokens_details"]["cached_tokens"])
        return answers, cached

    answers, cached = talk(server)
    assert cached[1] > 0 and cached[2] > cached[1]
    with TandemServer("--no-prefix-caching") as other:
        assert talk(other) == (answers, [0, 0, 0])


def test_salted_prompts_share_nothing(server):
    def cached(**fields) -> int:
        return server.post("/v1/completions", {"prompt": "Nobody else says this. " * 10, "max_tokens": 1, **fields}
                           )["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert [cached(cache_salt="a"), cached(cache_salt="b"), cached()] == [0, 0, 0]
    assert cached(cache_salt="a") == cached() > 0


def test_answers_say_which_way_they_took(server):
    _, headers, _ = server.request("POST", "/v1/completions", '{"prompt": "A long way round", "max_tokens": 3}',
                                   {"Content-Type": "application/json"})
    assert headers["x-tandem-path"] in ("disaggregated", "local")


def test_kv_crosses_between_the_workers(server):
    def kv_bytes() -> float:
        _, _, body = server.request("GET", "/metrics")
        return sum(map(float, re.findall(r"^tandem_kv_bytes_total(?:\{.*\})? (\S+)$", body.decode(), re.MULTILINE)))

    before = kv_bytes()
    server.post("/v1/completions", {"prompt": "Something nobody asked before: " + "why? " * 50, "max_tokens": 2})
    assert kv_bytes() > before
