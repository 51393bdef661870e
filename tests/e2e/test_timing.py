"""Where a request's time went: x-tandem-timing, the answer's own record and the histograms."""

import json
import re
import subprocess
import sys
import uuid

import pytest

from tandem_server import ROOT, TandemServer

FIRST = ["ingress", "retry", "route", "network", "queue", "prefill", "detokenize"]
SECOND = {"kv_exposed", "queue", "decode", "network"}
# Every boundary between two stages is one stamp of whole microseconds: the sums may be off by these roundings.
ROUNDING_MS = 0.02


def body(**fields) -> dict:
    return {"prompt": f"Tell me about {uuid.uuid4()}", "max_tokens": 4, "temperature": 0, **fields}


def ask(server, timing: str, **fields) -> tuple[int, dict, bytes]:
    return server.request("POST", "/v1/completions", json.dumps(body(**fields)),
                          {"Content-Type": "application/json", "x-tandem-timing": timing})


def parse(header: str) -> dict[str, float]:
    return {name: float(duration) for name, duration in re.findall(r"(\w+);dur=(-?[0-9.]+)", header)}


def check_whole(tandem: dict) -> None:
    first, second = tandem["timing"]["first_token_ms"], tandem["timing"]["second_token_ms"]
    assert sorted(first) == sorted(FIRST)
    assert sum(first.values()) == pytest.approx(tandem["ttft_ms"], abs=ROUNDING_MS)
    assert all(first[stage] >= 0 for stage in FIRST) and first["prefill"] > 0 and first["retry"] == 0
    assert set(second) == SECOND
    assert second["decode"] > 0


def test_an_answer_tells_its_stages(server):
    status, headers, text = ask(server, "true")
    assert status == 200, text
    tandem = json.loads(text)["tandem"]
    check_whole(tandem)
    assert list(parse(headers["x-tandem-timing"])) == FIRST
    assert parse(headers["x-tandem-timing"]) == pytest.approx(tandem["timing"]["first_token_ms"], abs=0.001)
    assert tandem["timing"]["second_token_ms"]["kv_exposed"] > 0


def test_the_gap_to_the_second_token_is_the_sum_of_its_stages(server):
    tandem = json.loads(ask(server, "true", max_tokens=2, ignore_eos=True)[2])["tandem"]
    second = tandem["timing"]["second_token_ms"]
    assert sum(second.values()) == pytest.approx(tandem["tpot_ms"], abs=ROUNDING_MS)


def test_a_stream_tells_in_its_head_and_its_last_chunk(server):
    status, headers, text = ask(server, "1", stream=True)
    assert status == 200
    chunks = [json.loads(line[6:]) for line in text.decode().split("\n\n") if line.startswith("data: {")]
    (tandem,) = [chunk["tandem"] for chunk in chunks if "tandem" in chunk]
    check_whole(tandem)
    assert parse(headers["x-tandem-timing"]) == pytest.approx(tandem["timing"]["first_token_ms"], abs=0.001)


def test_nobody_is_told_who_did_not_ask(server):
    for timing in ("false", "0", ""):
        status, headers, text = ask(server, timing)
        assert status == 200 and "x-tandem-timing" not in headers and "timing" not in json.loads(text)["tandem"]
    status, _, text = ask(server, "perhaps")
    assert status == 400 and b"x-tandem-timing must be true or false, got perhaps" in text


def test_one_token_has_no_second(server):
    tandem = json.loads(ask(server, "true", max_tokens=1)[2])["tandem"]
    assert tandem["timing"]["first_token_ms"]["prefill"] > 0 and tandem["timing"]["second_token_ms"] is None


def test_stages_are_histograms(server):
    ask(server, "false")
    _, _, metrics = server.request("GET", "/metrics")
    for name, stages in (("tandem_ttft_stage_seconds", FIRST), ("tandem_second_token_stage_seconds", SECOND)):
        counts = dict(re.findall(rf'^{name}_count{{stage="(\w+)"}} (\d+)$', metrics.decode(), re.MULTILINE))
        assert set(counts) == set(stages)
        assert all(int(count) > 0 for count in counts.values())


def test_what_the_gateway_adds_is_the_sum_of_its_stages(server):
    ask(server, "false")
    _, _, metrics = server.request("GET", "/metrics")
    sums = dict(re.findall(r'^(tandem_\w+_sum(?:{stage="\w+"})?) ([0-9.e-]+)$', metrics.decode(), re.MULTILINE))
    own = sum(float(sums[f'tandem_ttft_stage_seconds_sum{{stage="{stage}"}}'])
              for stage in ("ingress", "route", "detokenize"))
    assert own > 0 and float(sums["tandem_gateway_overhead_seconds_sum"]) == pytest.approx(own, rel=1e-6)


def test_the_tool_prints_every_stage(server):
    result = subprocess.run([sys.executable, ROOT / "tools/bench_stages.py", "--url", f"http://{server.http}",
                             "--tokens", "40", "--requests", "1"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "40 tokens, 1 requests, disaggregated" in result.stdout
    for stage in [*(f"first: {stage}" for stage in FIRST), *(f"second: {stage}" for stage in SECOND)]:
        assert stage in result.stdout


def test_a_mixed_worker_exposes_no_transfer():
    with TandemServer("--mixed", "1") as mixed:
        tandem = json.loads(ask(mixed, "true")[2])["tandem"]
        check_whole(tandem)
        assert tandem["path"] == "local" and tandem["timing"]["second_token_ms"]["kv_exposed"] == 0
