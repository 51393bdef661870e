"""Starts that must fail say why; clients that go and workers that die leave nothing behind."""

import json
import os
import pathlib
import signal
import struct

import pytest

from tandem_server import BINARY, MODEL, TandemServer, is_alive, run_tandem, wait_until

LONG_STREAM = {"prompt": "Once upon a time", "max_tokens": 4000, "ignore_eos": True, "stream": True}


def open_stream(server, body=LONG_STREAM):
    """A connection whose answer has begun."""
    connection = server.connection()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b"data: ")
    return connection, response


def test_client_that_goes_frees_its_blocks(server):
    total = sum(server.kv_blocks().values())
    streams = [open_stream(server) for _ in range(3)]
    wait_until(lambda: not server.is_idle(), "blocks are in use while streams run")
    for connection, response in streams:
        response.close()
        connection.close()
    wait_until(server.is_idle, "the blocks of clients that went are free")
    assert sum(server.kv_blocks().values()) == total
    server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1})


def sockets_of(pid: int) -> set[str]:
    """Names of the sockets that a process has open."""
    names = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.add(os.readlink(entry))
        except FileNotFoundError:
            continue  # It was closed while we looked.
    return {name for name in names if name.startswith("socket:")}


def test_a_worker_has_none_of_the_servers_sockets():
    """Else a port stays taken, and a connection open, that the server has closed or lost with its life."""
    with TandemServer() as server:
        connection, response = open_stream(server)
        killed, = server.workers("prefill")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: set(server.workers("prefill")) - {killed}, "another prefill worker runs")
        shared = [sockets_of(pid) & sockets_of(server.process.pid) for pid in server.workers()]
        assert shared == [set(), set()]
        response.close()
        connection.close()


@pytest.mark.parametrize("role", ["prefill", "decode"])
def test_killed_worker_is_restarted(role):
    with TandemServer() as server:
        before = server.post("/v1/completions", {"prompt": "One, two,", "max_tokens": 5, "temperature": 0})
        killed, = server.workers(role)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed), "the worker is dead")
        wait_until(lambda: server.workers(role), f"another {role} worker runs")
        # Until it has loaded the model there is no route.
        wait_until(lambda: server.request("GET", "/ready")[0] == 200, "ready again", timeout_s=30)

        def answer():
            status, _, body = server.request("POST", "/v1/completions", json.dumps(
                {"prompt": "One, two,", "max_tokens": 5, "temperature": 0}), {"Content-Type": "application/json"})
            assert status in (200, 503), body
            return status == 200 and json.loads(body)

        after = wait_until(answer, "the next request is served", timeout_s=30)
        assert after["choices"][0]["text"] == before["choices"][0]["text"]


def test_stream_goes_on_or_ends_with_an_error_when_its_decode_worker_dies():
    with TandemServer() as server:
        connection, response = open_stream(server, {**LONG_STREAM, "max_tokens": 400})
        killed, = server.workers("decode")
        os.kill(killed, signal.SIGKILL)
        events = [line for line in iter(response.readline, b"") if line.startswith(b"data: ")]
        connection.close()
        assert events, "the stream says how it ended"
        last = [json.loads(event[6:]) for event in events if event.strip() != b"data: [DONE]"][-1]
        assert "error" in last or last["choices"][0]["finish_reason"] == "length"


def test_workers_die_with_a_killed_server():
    with TandemServer() as server:
        workers = server.workers()
        assert len(workers) == 2
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(map(is_alive, workers)), "no worker is left")


def test_termination_lets_running_streams_finish():
    with TandemServer() as server:
        connection, response = open_stream(server, {**LONG_STREAM, "max_tokens": 60})
        server.process.send_signal(signal.SIGTERM)
        assert response.read().endswith(b"data: [DONE]\n\n")
        connection.close()
        assert server.process.wait(20) == 0


def test_port_in_use_is_named(server):
    port = server.http.rsplit(":", 1)[1]
    result = run_tandem("serve", "--model", MODEL, "--port", port, "--grpc-port", "0")
    assert result.returncode != 0
    assert port in result.stderr and "in use" in result.stderr


def test_unknown_flag_names_the_nearest():
    result = run_tandem("serve", "--model", MODEL, "--prefil", "2")
    assert result.returncode != 0
    assert "--prefil" in result.stderr and "--prefill" in result.stderr.replace("--prefil ", "")


def test_unknown_command_names_the_nearest():
    result = run_tandem("serv")
    assert result.returncode != 0
    assert "serve" in result.stderr


@pytest.mark.parametrize("flags", [["--port", "70000"], ["--prefill", "many"], ["--mixed"], ["--block-size", "0"],
                                   ["--kv-cache-bytes", "4XB"], ["--kv-cache-dtype", "f17"]])
def test_bad_value_names_its_flag(flags):
    result = run_tandem("serve", "--model", MODEL, *flags)
    assert result.returncode != 0
    assert flags[0] in result.stderr


def gguf(version: int = 3, num_tensors: int = 0, num_values: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_values) + rest


BAD_FILES = {
    "empty": b"",
    "magic": b"NOPE" + bytes(64),
    "version": gguf(version=99),
    "endless-counts": gguf(num_tensors=2**63, num_values=2**63),
    "endless-key": gguf(num_values=1, rest=struct.pack("<Q", 2**63)),
    "truncated-head": gguf(num_values=3, rest=struct.pack("<Q", 4) + b"name"),
    "no-metadata": gguf(),
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_model_file_is_one_clear_line(tmp_path, content):
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    result = run_tandem("serve", "--model", str(file), "--port", "0", "--grpc-port", "0")
    assert result.returncode > 0, f"ended by signal: {result}"
    assert "bad.gguf" in result.stderr.strip().splitlines()[-1]


def test_truncated_model_names_file_and_tensor(tmp_path):
    file = tmp_path / "half.gguf"
    with open(MODEL, "rb") as whole:
        file.write_bytes(whole.read(40_000_000))
    result = run_tandem("serve", "--model", str(file), "--port", "0", "--grpc-port", "0")
    assert result.returncode > 0, f"ended by signal: {result}"
    last = result.stderr.strip().splitlines()[-1]
    assert "half.gguf" in last and ".weight" in last


@pytest.mark.parametrize("name", ["missing.gguf", "empty-folder"])
def test_missing_model_is_named(tmp_path, name):
    (tmp_path / "empty-folder").mkdir()
    result = run_tandem("serve", "--model", str(tmp_path / name), "--port", "0", "--grpc-port", "0")
    assert result.returncode > 0
    assert name in result.stderr


def policies(pid: int) -> list[tuple[str, int]]:
    """Name and scheduling policy of each thread."""
    return [((task / "comm").read_text().strip(), os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK)
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def may_be_realtime() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def test_the_gateways_loops_have_real_time_priority_where_it_is_asked_for(server):
    assert {policy for _, policy in policies(server.process.pid)} == {os.SCHED_OTHER}
    if not may_be_realtime():
        result = run_tandem("serve", "--model", MODEL, "--port", "0", "--grpc-port", "0", "--realtime-gateway")
        assert result.returncode > 0 and "--realtime-gateway" in result.stderr
        return
    with TandemServer("--realtime-gateway") as realtime:
        realtime.post("/v1/completions", {"prompt": "Hi", "max_tokens": 2})
        for name, policy in policies(realtime.process.pid):
            assert policy == (os.SCHED_RR if name == "gateway" else os.SCHED_OTHER), name


def test_version_is_printed():
    result = run_tandem("version")
    assert result.returncode == 0
    assert result.stdout.startswith("tandem ")


def test_help_lists_every_option_of_serve():
    help_text = run_tandem("serve", "--help").stdout
    for flag in ("--model", "--prefill", "--decode", "--mixed", "--host", "--port", "--grpc-port"):
        assert flag in help_text


def test_binary_needs_no_file_of_the_source_tree(tmp_path):
    copy = tmp_path / "tandem"
    copy.write_bytes(pathlib.Path(BINARY).read_bytes())
    copy.chmod(0o755)
    assert os.spawnv(os.P_WAIT, copy, ["tandem", "version"]) == 0
