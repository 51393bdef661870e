"""tools/bench_servers.py: what it makes of requests, and whole runs with a server and a load tester that pretend."""

import json
import pathlib
import shlex
import socket
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/bench_servers.py"
sys.path.insert(0, str(TOOL.parent))

import bench_servers  # noqa: E402

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# TTFT grows with the rate: 100 ms times it.
LOAD_TESTER = """
import json, sys
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
with open(options["--records"], "w") as file:
    for i in range(int(options["--requests"])):
        print(json.dumps({"outcome": "served", "scheduled_ms": 0, "ttft_ms": 100 * float(options["--rates"]), "tpot_ms": 5,
                          "e2el_ms": 2000}), file=file)
"""


def served(ttft_ms, tpot_ms=10.0):
    return {"outcome": "served", "ttft_ms": ttft_ms, "tpot_ms": tpot_ms}


FAILED = {"outcome": "failed"}


@pytest.mark.parametrize("record, is_within", [
    (served(400, 40), True), (served(401, 40), False), (served(400, 41), False), (FAILED, False),
    ({"outcome": "served", "ttft_ms": 1}, True),  # one token has no TPOT
])
def test_request_counts_when_it_meets_both_targets(record, is_within):
    assert bench_servers.within(record, (400, 40)) == is_within


def test_best_rate_is_the_highest_before_the_first_that_fails():
    good, bad = [served(100)] * 9 + [FAILED], [served(100)] * 8 + [FAILED] * 2
    assert bench_servers.best_rate({1: good, 2: good, 4: bad, 8: good}, (400, 40)) == 2
    assert bench_servers.best_rate({1: bad, 2: good}, (400, 40)) is None


def test_tightest_scale_is_that_of_the_last_request_needed():
    records = [served(100 * i) for i in range(1, 10)] + [FAILED]
    assert bench_servers.tightest_scale(records, (1000, 100)) == pytest.approx(0.9)
    assert bench_servers.tightest_scale([served(100, 300)] * 10, (1000, 100)) == pytest.approx(3)
    assert bench_servers.tightest_scale([served(100)] * 8 + [FAILED] * 2, (1000, 100)) is None


def test_throughput_is_that_of_all_rounds():
    def record(i, begin_ms, end_ms):
        return {"round": i, "outcome": "served", "scheduled_ms": begin_ms, "e2el_ms": end_ms - begin_ms}
    rounds = [record(0, 500, 1000), record(0, 700, 1500), record(1, 0, 4000), {"round": 1, "outcome": "failed", "scheduled_ms": 10}]
    assert bench_servers.throughput(rounds) == pytest.approx(3 / 5)


def python(code, *arguments):
    return shlex.join([sys.executable, "-c", code, *arguments])


def run_tool(*arguments):
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def test_servers_run_in_turn_until_they_are_saturated(tmp_path, port):
    arguments = ("--url", f"http://127.0.0.1:{port}", "--tandem", python(LOAD_TESTER), "--output", str(tmp_path),
                 "--workload", "8:4", "--rates", "4,1,2,8", "--targets", "250:40,100:40", "--requests", "3", "--rounds", "2",
                 "--server", "a b=" + python(SERVER, port), "--server", "c=" + python(SERVER, port))
    result = run_tool(*arguments)
    assert result.returncode == 0, result.stderr
    assert "| a b | 2 | 6 of 6 | 1.50 | 200, 200 | 5.0, 5.0 | 100% | 0% |" in result.stdout
    assert "| a b | 2 | 1 |" in result.stdout                       # highest rates of both targets
    assert "| c | 0.40 | 0.80 | 1.60 | - |" in result.stdout       # scales of the first; 8/s was not run
    order = [line.split(": ")[1] for line in result.stderr.splitlines()]
    assert order == [f"{name} at {rate}/s" for name in ("a b", "c", "c", "a b") for rate in (1, 2, 4)]
    plotted = json.loads((tmp_path / "a-b-8-4.json").read_text())["runs"]
    assert [run["attainment"] for run in plotted] == [1, 1, 0]
    assert run_tool(*arguments[:2], "--tandem", "false", *arguments[4:]).stdout == result.stdout  # nothing runs again


def test_server_that_does_not_start_ends_the_run(tmp_path, port):
    result = run_tool("--url", f"http://127.0.0.1:{port}", "--output", str(tmp_path), "--server", "broken=false")
    assert result.returncode != 0
    assert "broken does not answer" in result.stderr


@pytest.mark.parametrize("arguments, reason", [
    (["--server", "nameless"], "NAME=COMMAND"),
    (["--server", "a=b", "--workload", "5"], "A:B"),
    (["--server", "a=b", "--targets", "5:0"], "above 0"),
    (["--server", "a=b", "--rates", "fast"], "'fast'"),
    (["--server", "a=b", "--requests", "0"], "--requests"),
])
def test_bad_arguments_are_named(tmp_path, arguments, reason):
    result = run_tool("--output", str(tmp_path), *arguments)
    assert result.returncode == 2
    assert reason in result.stderr
