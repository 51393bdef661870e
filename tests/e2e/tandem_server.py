"""Starts the built daemon for a test and ends it.

    with TandemServer("--prefill", "2", "--decode", "1") as server:
        server.post("/v1/completions", {"prompt": "1 2 3"})
"""

import http.client
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TANDEM_BINARY", ROOT / "build/tandem"))
MODEL = os.environ.get("TANDEM_MODEL", "")

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20


def wait_until(condition, what: str, timeout_s: float = 20):
    """Polls until `condition()` is true and returns its value; fails with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def children_of(pid: int) -> dict[int, list[str]]:
    """Command lines of the living children of `pid`."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            arguments = (entry / "cmdline").read_text().split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        if int(parent) == pid and state != "Z":
            children[int(entry.name)] = arguments
    return children


def is_alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run_tandem(*arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess:
    """Runs a command of the daemon that is expected to end by itself."""
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout_s,
                          stdin=subprocess.DEVNULL)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TandemProcess:
    """One process of the daemon, such as TandemProcess("scheduler", "--grpc-port", "7000")."""

    def __init__(self, command: str, *flags: str):
        self.command = [str(BINARY), command, *flags]

    def __enter__(self):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="tandem-e2e-", suffix=".log")
        self.start()
        return self

    def __exit__(self, exception_type, *_) -> None:
        try:
            self.stop()
        except AssertionError as error:
            if exception_type is None:
                raise
            print(error)  # What failed first is what counts.
        if exception_type is not None:
            print(self.log_text())  # pytest shows it beside the failure.
        self.log.close()

    def start(self) -> None:
        """Starts it, again if it has ended."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Asks the process to end; it must do so cleanly."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_TIMEOUT_S} s after SIGTERM:\n{self.log_text()}") from None
        assert status == 0, f"ended with {status} after SIGTERM:\n{self.log_text()}"

    def log_text(self) -> str:
        return pathlib.Path(self.log.name).read_text()


class TandemServer(TandemProcess):
    """A process with an HTTP port: `serve`, or a `gateway`. `http` and `grpc` are its host:port once it is entered."""

    def __init__(self, *flags: str, command: str = "serve", model: str = MODEL):
        super().__init__(command, "--model", model, "--port", "0", "--grpc-port", "0", *flags)
        self.http = self.grpc = ""

    def start(self) -> None:
        super().start()
        try:
            self._wait_for_addresses()
        except BaseException:
            self.kill()
            raise

    def _wait_for_addresses(self) -> None:
        lines = queue.Queue()

        def read() -> None:
            for line in self.process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                line = lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not ready within {START_TIMEOUT_S} s:\n{self.log_text()}") from None
            assert line is not None, f"ended before it was ready:\n{self.log_text()}"
            if match := re.match(r"listening http=(\S+) grpc=(\S+)", line):
                self.http, self.grpc = match.groups()
                return

    def stop(self) -> None:
        """Asks the server to end; it must do so cleanly and take its workers along."""
        workers = self.workers()
        super().stop()
        wait_until(lambda: not any(map(is_alive, workers)), "the workers are gone")

    def workers(self, role: str = "") -> list[int]:
        """Process ids of the workers, or of those with `role`."""
        return [pid for pid, arguments in children_of(self.process.pid).items()
                if "worker" in arguments and (not role or f"--role={role}" in arguments)]

    def await_workers(self) -> None:
        """Until all have joined: the server is ready as soon as one of each role has."""
        wait_until(lambda: len(self.get("/cluster")["instances"]) == len(self.workers()), "all workers have joined",
                   timeout_s=START_TIMEOUT_S)

    def connection(self, timeout_s: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.http, timeout=timeout_s)

    def request(self, method: str, path: str, body=None, headers=None) -> tuple[int, dict, bytes]:
        """Status, headers (lower-case names) and body of one request."""
        connection = self.connection()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def get(self, path: str):
        status, _, body = self.request("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def post(self, path: str, body: dict):
        """The answer to a request that must succeed."""
        status, _, answer = self.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        assert status == 200, (path, status, answer)
        return json.loads(answer)

    def model_name(self) -> str:
        return self.get("/v1/models")["data"][0]["id"]

    def kv_blocks(self) -> dict[str, float]:
        """Blocks of all workers in each state of the ledger, from /metrics."""
        status, _, body = self.request("GET", "/metrics")
        assert status == 200, body
        blocks = {}
        for labels, value in re.findall(r"^tandem_kv_blocks\{(.*)\} (\S+)$", body.decode(), re.MULTILINE):
            state = re.search(r'state="([^"]*)"', labels).group(1)
            blocks[state] = blocks.get(state, 0) + float(value)
        assert blocks, "no tandem_kv_blocks in /metrics"
        return blocks

    def is_idle(self) -> bool:
        """Every block is free or cached."""
        return not any(count for state, count in self.kv_blocks().items() if state not in ("free", "cached"))

    def check_no_block_is_lost(self) -> None:
        wait_until(self.is_idle, "every block is free or cached again")


def ranks_of(server) -> list[int]:
    """Process ids of all ranks but the first of each instance."""
    return [pid for worker in server.workers() for pid, arguments in children_of(worker).items()
            if any(argument.startswith("--rank=") for argument in arguments)]
