"""Where requests go: to the KV of their prompt, by predicted latency, or away at once."""

import json
import re

import pytest

from tandem_server import TandemServer, wait_until

FAST = "fast=ttft:60000,tpot:60000"
HOPELESS = "hopeless=ttft:0.01,reject"


@pytest.fixture(scope="module")
def routed():
    with TandemServer("--slo-class", FAST, "--slo-class", HOPELESS) as server:
        learn_speed(server)
        yield server


def learn_speed(server: TandemServer) -> None:
    """Lets both workers make the steps that they learn their speed from."""
    for i in range(20):
        server.post("/v1/completions", {"prompt": f"{i}. Once upon a time", "max_tokens": 4, "ignore_eos": True})

    def is_predicted() -> bool:
        status, _, body = server.request("POST", "/v1/completions", json.dumps({"prompt": "Hello", "max_tokens": 2}),
                                         {"Content-Type": "application/json", "x-tandem-timing": "true"})
        assert status == 200, body
        return json.loads(body)["tandem"]["timing"]["predicted_ttft_ms"] is not None

    wait_until(is_predicted, "the speed of both workers is known")


def metric(server: TandemServer, name: str, **labels: str) -> float:
    _, _, body = server.request("GET", "/metrics")
    for found, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", body.decode(), re.MULTILINE):
        if all(f'{label}="{wanted}"' in found for label, wanted in labels.items()):
            return float(value)
    raise AssertionError(f"no {name} {labels} in /metrics")


def ask(server: TandemServer, messages: list[dict], **fields) -> dict:
    return server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 48, "temperature": 0,
                                                "ignore_eos": True, **fields})


def test_the_next_turn_of_a_chat_is_prefilled_where_its_kv_is(routed):
    """The decode worker has prompt and answer of the first turn, and computes what is new between its steps."""
    story = "Tell a story about a fox who learns to read in a library. " * 6
    messages = [{"role": "user", "content": story}]
    first = ask(routed, messages)
    assert first["tandem"]["path"] == "disaggregated" and first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    messages.append({"role": "assistant", "content": first["choices"][0]["message"]["content"]})
    answers = []

    def goes_on_locally() -> bool:  # As soon as the worker has told what it holds.
        turn = messages + [{"role": "user", "content": f"And then? {len(answers)}"}]
        answers.append((turn, ask(routed, turn)))
        return answers[-1][1]["tandem"]["path"] == "local"

    wait_until(goes_on_locally, "a further turn is local")
    turn, answer = answers[-1]
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= first["usage"]["prompt_tokens"], "the first prompt, and a part of its answer"
    assert answer["tandem"]["kv_bytes"] == 0 and answer["tandem"]["prefill"] is None
    with TandemServer("--no-prefix-caching") as plain:
        assert ask(plain, turn)["choices"][0]["message"] == answer["choices"][0]["message"]


def test_requests_are_counted_by_class_and_target(routed):
    def send(*headers: tuple[str, str]) -> int:
        return routed.request("POST", "/v1/completions", '{"prompt": "Count to three:", "max_tokens": 3}',
                              {"Content-Type": "application/json", **dict(headers)})[0]

    def count(met: bool, slo_class: str) -> float:
        return metric(routed, "tandem_slo_requests_total", met=str(met).lower(), slo_class=slo_class)

    before = {slo_class: count(True, slo_class) for slo_class in ("fast", "custom", "none")}
    assert [send(("x-tandem-slo-class", "fast")), send(("x-llm-d-inference-objective", "fast")),
            send(("x-tandem-ttft-ms", "60000")), send()] == [200] * 4
    assert {name: count(True, name) - n for name, n in before.items()} == {"fast": 2, "custom": 1, "none": 1}
    # Impossible, but not to be refused: served late.
    missed = metric(routed, "tandem_slo_missed_total", slo_class="custom", cause="ttft")
    assert send(("x-tandem-ttft-ms", "0.01")) == 200
    assert metric(routed, "tandem_slo_missed_total", slo_class="custom", cause="ttft") == missed + 1
    assert send(("x-tandem-slo-class", "unheard-of")) == 400


def test_what_would_be_late_is_refused_at_once_where_that_is_asked_for(routed):
    shed = metric(routed, "tandem_slo_missed_total", slo_class="hopeless", cause="shed")
    status, headers, body = routed.request("POST", "/v1/completions", '{"prompt": "Be quick", "max_tokens": 2}',
                                           {"Content-Type": "application/json", "x-tandem-slo-class": "hopeless"})
    error = json.loads(body)["error"]
    assert status == 429 and error["type"] == "rate_limit_error", body
    assert re.search(r"the first token is wanted within 0 ms and predicted to take \d+ ms", error["message"])
    assert headers["retry-after"] == "1" and headers["x-llm-d-request-dropped-reason"] == "rejected-saturated"
    assert metric(routed, "tandem_slo_missed_total", slo_class="hopeless", cause="shed") == shed + 1
    assert routed.post("/v1/completions", {"prompt": "Be quick", "max_tokens": 2})["choices"]


def test_a_class_that_makes_no_sense_is_told_at_the_start():
    from tandem_server import run_tandem
    result = run_tandem("serve", "--model", "none.gguf", "--slo-class", "fast=soon")
    assert result.returncode != 0 and '"soon" is none of ttft:MS, tpot:MS and reject' in result.stderr
