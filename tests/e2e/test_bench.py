"""`tandem bench` against a stub, whose pace and failures are known, and against Tandem itself."""

import html.parser
import json
import re
import signal
import subprocess

import pytest

from stub_openai import STREAM_HEAD, StubServer, answer, event, stream
from tandem_server import BINARY, TandemServer, run_tandem, wait_until


def bench(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess:
    return run_tandem("bench", "--warmup", "0", "--prompt-tokens", "8", *arguments, timeout_s=timeout_s)


def result_of(*arguments: str, timeout_s: float = 60) -> dict:
    run = bench("--json", *arguments, timeout_s=timeout_s)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def steady(number: int, request: dict) -> list:
    return stream(request["max_tokens"], 0.02, 0.01)


def test_measures_the_pace_of_a_server():
    with StubServer(steady) as stub:
        result = result_of("--url", stub.url, "--requests", "20", "--rates", "40", "--output-tokens", "6",
                           "--goodput", "ttft:5000", "tpot:5000")
        requests = stub.requests
    assert result["model_id"] == "stub"
    assert (result["completed"], result["failed"], result["shed"], result["attainment"]) == (20, 0, 0, 1)
    assert result["goodput_targets"] == "ttft:5000 tpot:5000"
    assert result["median_ttft_ms"] >= 20
    assert result["median_tpot_ms"] >= 9
    assert result["total_output_tokens"] == 120
    assert result["total_input_tokens"] == 100  # What the stub's usage says.
    assert result["lateness_ms"]["max"] >= 0
    path, headers, body = requests[0]
    assert path == "/v1/completions"
    assert body["ignore_eos"] and body["stream"] and body["stream_options"] == {"include_usage": True}
    assert all(len(body["prompt"]) == 8 for _, _, body in requests)
    assert all(0 < token < 500 for _, _, body in requests for token in body["prompt"])
    assert len({tuple(body["prompt"]) for _, _, body in requests}) == 20
    assert len({headers["x-request-id"] for _, headers, _ in requests}) == 20


def test_failed_and_shed_requests_are_misses():
    def behave(number: int, request: dict) -> list:
        return [answer("429 Too Many Requests", "Retry-After: 1\r\n", b'{"error":{"message":"busy"}}'),
                answer("503 Service Unavailable", "", b"{}"),
                answer("500 Internal Server Error", "", b'{"error":{"message":"oops"}}'),
                [STREAM_HEAD, event({"choices": [{"text": "a"}]})],  # It breaks off.
                [STREAM_HEAD, event({"error": {"message": "worker lost"}}), event("[DONE]"), b"0\r\n\r\n"],
                [],  # No answer at all.
                steady(number, request), steady(number, request)][number % 8]

    with StubServer(behave) as stub:
        run = bench("--url", stub.url, "--requests", "16", "--rates", "100", "--output-tokens", "2", "--goodput",
                    "ttft:5000")
    assert run.returncode == 0, run.stderr
    assert "4/8/4" in run.stdout
    assert "25.0%" in run.stdout
    for error in ("2 x shed: HTTP 429: busy", "2 x failed: HTTP 500: oops", "2 x failed: worker lost"):
        assert error in run.stdout


def test_an_error_that_is_cut_within_a_character_does_not_lose_the_result():
    body = ("x" * 199 + "\u00e9").encode()
    with StubServer(lambda number, request: answer("500 Internal Server Error", "", body)) as stub:
        result = result_of("--url", stub.url, "--requests", "2", "--rates", "inf", "--output-tokens", "1", "--detailed")
    assert result["errors"] == ["HTTP 500: " + "x" * 199 + "\ufffd"] * 2


def test_headers_fields_and_the_chat_endpoint_arrive():
    def behave(number: int, request: dict) -> list:
        return stream(request["max_completion_tokens"])

    with StubServer(behave) as stub:
        result = result_of("--url", stub.url, "--endpoint", "chat", "--requests", "2", "--rates", "inf", "--key", "secret",
                           "--header", "X-One=1", "--extra-body", '{"top_k": 3}', "--model", "given", "--no-ignore-eos",
                           "--goodput", "ttft:300 tpot:30", "--send-targets")
        path, headers, body = stub.requests[0]
    assert result["completed"] == 2
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    assert headers["x-one"] == "1"
    assert (headers["x-llm-d-slo-ttft-ms"], headers["x-llm-d-slo-tpot-ms"]) == ("300", "30")
    assert body["top_k"] == 3 and body["model"] == "given" and "ignore_eos" not in body
    assert len(body["messages"][0]["content"].split()) == 8


def test_writes_json_records_and_a_page_for_several_rates(tmp_path):
    files = {name: tmp_path / name for name in ("r.json", "r.jsonl", "r.html")}
    with StubServer(steady) as stub:
        run = bench("--url", stub.url, "--requests", "10", "--rates", "50,200", "--output-tokens", "3", "--goodput",
                    "ttft:5000", "--result", str(files["r.json"]), "--records", str(files["r.jsonl"]), "--html",
                    str(files["r.html"]), "--label", "a <label>", "--metadata", "machine=mine", "--detailed",
                    "--percentiles", "75")
    assert run.returncode == 0, run.stderr
    runs = json.loads(files["r.json"].read_text())["runs"]
    assert [run["request_rate"] for run in runs] == [50, 200]
    assert all(run["label"] == "a <label>" and run["machine"] == "mine" for run in runs)
    assert all(len(run["ttfts"]) == 10 and "p75_ttft_ms" in run for run in runs)
    records = [json.loads(line) for line in files["r.jsonl"].read_text().splitlines()]
    assert [(record["rate"], record["index"]) for record in records] == [(r, i) for r in (50, 200) for i in range(10)]
    page = files["r.html"].read_text()
    html.parser.HTMLParser().feed(page)
    assert page.count("<svg") >= 8 and "a &lt;label&gt;" in page and "src=" not in page

    compared = run_tandem("bench", "compare", str(files["r.json"]), str(files["r.json"]))
    assert compared.returncode == 0, compared.stderr
    assert "rate 200 req/s" in compared.stdout and "(+0.0%)" in compared.stdout


def test_searches_the_highest_rate():
    open_streams = 0

    def behave(number: int, request: dict):
        # More than 2 at once are too slow.
        nonlocal open_streams
        open_streams += 1
        yield 0.02 if open_streams <= 2 else 0.3
        yield from stream(1)
        open_streams -= 1

    with StubServer(behave) as stub:
        run = bench("--url", stub.url, "--search", "--rates", "4", "--requests", "40", "--output-tokens", "1", "--goodput",
                    "ttft:150", "--tolerance", "0.5", "--max-requests", "80", timeout_s=240)
    assert run.returncode == 0, run.stderr
    assert "highest rate with attainment >= 90% of ttft:150: " in run.stdout
    assert " does not hold" in run.stdout


def test_ctrl_c_reports_what_there_is():
    def behave(number: int, request: dict) -> list:
        return stream(1) if number < 3 else [3600.0]

    with StubServer(behave) as stub:
        process = subprocess.Popen([BINARY, "bench", "--warmup", "0", "--url", stub.url, "--requests", "10", "--rates",
                                    "1000", "--prompt-tokens", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        wait_until(lambda: len(stub.requests) == 10, "all requests arrive")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "3/7/0" in output
    assert "7 x failed: given up: the run was stopped" in output


def test_replays_a_trace_with_its_shared_prefixes(tmp_path):
    trace = tmp_path / "trace.jsonl"
    lines = [{"timestamp": 0, "input_length": 700, "output_length": 2, "hash_ids": [1, 2]},
             {"timestamp": 50, "input_length": 600, "output_length": 3, "hash_ids": [1, 3], "tenant": "t"},
             {"timestamp": 90000, "input_length": 5, "output_length": 1}]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with StubServer(steady) as stub:
        run = run_tandem("bench", "--json", "--warmup", "0", "--url", stub.url, "--trace", str(trace))
        result = json.loads(run.stdout)
        one, other = sorted((body for _, _, body in stub.requests), key=lambda body: body["max_tokens"])
        tenants = [headers.get("x-llm-d-inference-fairness-id") for _, headers, _ in stub.requests]
    assert result["completed"] == 2  # The third comes after --duration.
    assert (result["workload"], result["arrivals"]) == ("trace.jsonl", "trace")
    assert (len(one["prompt"]), len(other["prompt"])) == (700, 600)
    assert one["prompt"][:512] == other["prompt"][:512]
    assert one["prompt"][512:600] != other["prompt"][512:]
    assert tenants == [None, "t"]


@pytest.mark.parametrize("keep_alive", [[], ["--keep-alive"]])
def test_several_threads_and_kept_connections_give_the_same_counts(keep_alive):
    with StubServer(steady) as stub:  # It closes each connection, kept or not.
        result = result_of("--url", stub.url, "--requests", "30", "--rates", "300", "--output-tokens", "2",
                           "--client-threads", "2", *keep_alive)
    assert (result["completed"], result["failed"]) == (30, 0)


@pytest.mark.parametrize("arguments, reason", [
    (["--rates", "0"], "--rates"),
    (["--rates", "inf"], "number of requests"),
    (["--prompt-tokens", "many"], "many"),
    (["--goodput", "ttft"], "ttft"),
    (["--goodput", "ttft:1", "ttft:2"], "ttft is given twice"),
    (["--requests", "1000000000"], "to 100000000,"),
    (["--url", "http://127.0.0.1:99999"], "99999"),
    (["--search"], "--goodput"),
    (["--arrivals", "trace"], "--trace"),
    (["--trace", "no-such-file"], "no-such-file"),
    (["--extra-body", "[]"], "--extra-body"),
    (["--header", "x"], "--header"),
    (["--percentiles", "101"], "--percentiles"),
    (["--token-range", "5..1"], "--token-range"),
    (["--html", "/no/such/folder/x.html"], "/no/such/folder"),
    (["--url", "https://x"], "https://x"),
    (["compare", "a.json", "b.json"], "--url: not with compare"),
    (["--header", "a=b", "--grpc", "127.0.0.1:1"], "--url: not with --grpc"),
    (["--trace", "x", "--output-tokens", "9"], "--output-tokens: not with --trace"),
    (["compete"], "compete"),
])
def test_refuses_options_by_name(arguments, reason):
    with StubServer(steady) as stub:
        run = run_tandem("bench", "--url", stub.url, *arguments)
    assert run.returncode != 0
    assert reason in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_compare_needs_two_files():
    run = run_tandem("bench", "compare", "one.json")
    assert run.returncode != 0 and "two files" in run.stderr


def test_tells_a_wrong_load_before_it_looks_for_the_server():
    for option, value in [("--rates", "fast"), ("--output-tokens", "many"), ("--trace", "no-such-file")]:
        run = run_tandem("bench", "--url", "http://127.0.0.1:1", option, value)
        assert run.returncode != 0 and value in run.stderr and "reach" not in run.stderr


def test_says_that_no_server_is_there():
    run = run_tandem("bench", "--url", "http://127.0.0.1:1")
    assert run.returncode == 1
    assert "cannot reach 127.0.0.1:1" in run.stderr


def test_loads_tandem_over_http(server):
    result = result_of("--url", f"http://{server.http}", "--requests", "8", "--rates", "20", "--prompt-tokens", "20..40",
                       "--output-tokens", "5", "--goodput", "ttft:60000", "tpot:60000")
    assert (result["completed"], result["attainment"]) == (8, 1)
    assert result["total_output_tokens"] == 40
    assert 8 * 20 <= result["total_input_tokens"] <= 8 * 40
    assert result["median_ttft_ms"] > 0 and result["median_tpot_ms"] > 0


def test_loads_tandem_over_grpc(server):
    result = result_of("--grpc", server.grpc, "--requests", "8", "--rates", "20", "--prompt-tokens", "32",
                       "--output-tokens", "5", "--goodput", "ttft:60000", "--send-targets")
    assert (result["backend"], result["completed"], result["attainment"]) == ("grpc", 8, 1)
    assert (result["total_input_tokens"], result["total_output_tokens"]) == (8 * 32, 40)


# Targets that every request meets or every one misses, so that this hangs on what counts and not on the machine's speed.
EASY = ["ttft:60000", "tpot:60000"]
MISSED_FIRST = ["ttft:0.0001", "tpot:60000"]
MISSED_LATER = ["ttft:60000", "tpot:0.0001"]


def slo_counts(server, slo_class: str) -> dict[str, float]:
    """Of a class: served within the targets, not served within them, and those by cause."""
    _, _, body = server.request("GET", "/metrics")
    lines = re.findall(rf'^tandem_slo_\w+_total\{{(?:met|cause)="(\w+)",slo_class="{slo_class}"\}} (\S+)$', body.decode(),
                       re.MULTILINE)
    return {name: float(value) for name, value in lines}


@pytest.fixture(scope="module")
def classed():
    classes = {"easy": EASY, "first": MISSED_FIRST, "later": MISSED_LATER}
    with TandemServer(*(f"--slo-class={name}={','.join(targets)}" for name, targets in classes.items())) as server:
        yield server


@pytest.mark.parametrize("slo_class, targets, cause", [
    ("easy", EASY, None), ("first", MISSED_FIRST, "ttft"), ("later", MISSED_LATER, "tpot")])
@pytest.mark.parametrize("over", ["http", "grpc"])
def test_the_server_counts_the_goodput_that_bench_reports(classed, tmp_path, over, slo_class, targets, cause):
    trace = tmp_path / "trace.jsonl"
    line = {"timestamp": 0, "input_length": 12, "output_length": 16, "slo_class": slo_class}
    trace.write_text("".join(json.dumps(line) + "\n" for _ in range(6)))
    where = ["--url", f"http://{classed.http}"] if over == "http" else ["--grpc", classed.grpc]
    before = slo_counts(classed, slo_class)
    run = run_tandem("bench", "--json", *where, "--endpoint", "chat", "--trace", str(trace), "--warmup", "3", "--goodput",
                     *targets, timeout_s=120)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    after = slo_counts(classed, slo_class)
    counted = {name: after[name] - before[name] for name in after}
    good = round(result["attainment"] * result["completed"])
    assert (result["completed"], good) == (6, 0 if cause else 6)
    assert (counted["true"], counted["false"]) == (good, 6 - good)
    assert {name for name in ("ttft", "tpot", "failed", "shed") if counted[name]} == ({cause} if cause else set())


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_targets_that_are_sent_count_as_a_class_of_their_own(classed, over):
    where = ["--url", f"http://{classed.http}"] if over == "http" else ["--grpc", classed.grpc]
    before = slo_counts(classed, "custom")
    result = result_of(*where, "--endpoint", "chat", "--requests", "4", "--rates", "inf", "--output-tokens", "16", "--goodput",
                       *MISSED_LATER, "--send-targets", timeout_s=120)
    after = slo_counts(classed, "custom")
    assert (result["completed"], result["attainment"]) == (4, 0)
    assert (after["true"] - before["true"], after["false"] - before["false"]) == (0, 4)
    assert after["tpot"] - before["tpot"] == 4


def test_chats_with_tandem_over_both(server):
    for where in (["--url", f"http://{server.http}"], ["--grpc", server.grpc]):
        result = result_of(*where, "--endpoint", "chat", "--requests", "3", "--rates", "inf", "--output-tokens", "4")
        assert result["completed"] == 3
        assert result["total_output_tokens"] == 12
