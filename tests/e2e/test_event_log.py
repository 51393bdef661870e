"""`--event-log` and `tandem replay`: what the daemon decided is decided again, byte for byte."""

import concurrent.futures
import json
import os
import signal

import pytest

from tandem_server import TandemServer, is_alive, run_tandem, wait_until

STORY = "Once upon a time there was a little robot who lived in a house by the sea. "
LONG_STREAM = {"prompt": STORY, "max_tokens": 4000, "ignore_eos": True, "stream": True}


def ask(server, body: dict) -> dict:
    return server.post("/v1/completions", {"temperature": 0, "ignore_eos": True, **body})


def open_stream(server):
    """A connection whose answer has begun."""
    connection = server.connection()
    connection.request("POST", "/v1/completions", json.dumps(LONG_STREAM), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b"data: ")
    return connection, response


def serve_a_bad_day(server, folder) -> None:
    """Requests side by side that share prefixes, a client that goes, a decode worker that dies in the middle."""
    bodies = [{"prompt": STORY * (1 + i % 3) + str(i), "max_tokens": 8 + i, "logprobs": 2 if i % 4 == 0 else None}
              for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as clients:
        list(clients.map(lambda body: ask(server, body), bodies))
    connection, response = open_stream(server)
    response.close()
    connection.close()
    wait_until(server.is_idle, "the blocks of the client that went are free")
    decode_log, = folder.glob("decode-*")
    wait_until(lambda: '"call":"abort"' in decode_log.read_text(), "what the kill must not take with it is written")
    open_stream(server)
    killed, = server.workers("decode")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not is_alive(killed), "the worker is dead")
    wait_until(lambda: server.workers("decode"), "another one runs")
    wait_until(lambda: server.request("GET", "/ready")[0] == 200, "ready again", timeout_s=30)
    server.await_workers()
    ask(server, {"prompt": STORY + "And then", "max_tokens": 5})


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """The logs of such a day: of the router, of the prefill worker, of two decode workers."""
    folder = tmp_path_factory.mktemp("logs") / "new"
    with TandemServer("--prefill", "1", "--decode", "1", "--drain-timeout", "1", "--event-log", str(folder)) as server:
        serve_a_bad_day(server, folder)
    files = sorted(folder.iterdir())
    assert sorted(file.name.rsplit("-", 1)[0] for file in files) == ["decode-0", "decode-0", "prefill-0", "router"]
    return files


def test_every_decision_of_production_is_replayed(logs):
    result = run_tandem("replay", "--json", *map(str, logs), timeout_s=120)
    assert result.returncode == 0, result.stderr + result.stdout[-4000:]
    reports = json.loads(result.stdout)
    for report in reports:
        assert report["equal"] and report["num_equal_calls"] == report["num_calls"] > 0, report
    *decodes, prefill, router = reports
    assert router["kind"] == "router" and router["calls"]["route"] >= 15 and router["calls"]["complete"] >= 13
    assert prefill["kind"] == "instance" and prefill["events"]["handed_off"] >= 13
    assert all(decode["events"]["token"] > 3 and decode["step_ms"]["p50"] > 0 for decode in decodes)
    assert sum(decode["events"]["finished"] for decode in decodes) >= 13
    assert sum(decode["calls"].get("abort", 0) for decode in decodes) >= 1


def test_logs_can_be_read_by_their_owner_only(logs):
    assert {file.stat().st_mode & 0o777 for file in logs} == {0o600}


def test_replay_shows_the_first_decision_that_was_another(logs, tmp_path):
    prefill = next(file for file in logs if file.name.startswith("prefill"))
    lines = prefill.read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if '"call":"commit"' in line)
    lines[number] = lines[number].replace('"token",', '"taken",')
    changed = tmp_path / "changed.jsonl"
    changed.write_text("".join(lines))
    result = run_tandem("replay", str(prefill), str(changed))
    assert result.returncode == 1
    assert f"DIFFERS   in line {number + 1}," in result.stdout
    assert '["taken",' in result.stdout and '["token",' in result.stdout
    assert f"another decision than in {changed}, line {number + 1}" in result.stderr


def test_replay_leaves_out_a_line_that_was_cut_off_and_names_one_that_is_damaged(logs, tmp_path):
    router = next(file for file in logs if file.name.startswith("router")).read_text()
    cut_off, damaged = tmp_path / "cut_off.jsonl", tmp_path / "damaged.jsonl"
    cut_off.write_text(router[:-20])
    result = run_tandem("replay", str(cut_off))
    assert result.returncode == 0 and "cut off   in its last line" in result.stdout, result.stderr
    lines = router.splitlines(keepends=True)
    damaged.write_text("".join([*lines[:5], lines[5][:10] + "\n", *lines[6:]]))
    result = run_tandem("replay", str(damaged))
    assert result.returncode == 1 and f"{damaged}, line 6: no JSON object" in result.stderr


def test_folder_that_cannot_be_written_is_named_at_start(tmp_path):
    (tmp_path / "file").write_text("")
    result = run_tandem("scheduler", "--grpc-port", "0", "--event-log", str(tmp_path / "file" / "logs"))
    assert result.returncode == 1
    assert f"cannot write the event log {tmp_path}/file/logs/router-" in result.stderr
