"""How long a stream stands still when the worker that writes it is killed: found, routed anew, replayed. By hand:

TANDEM_MODEL=$(python3 tools/fetch_model.py) build/python/bin/python tests/e2e/bench_failover.py
"""

import json
import os
import signal
import statistics
import time

from tandem_server import TandemServer, children_of, wait_until

NUM_STREAMS = 7
KILL_AFTER = 30  # chunks


def gaps_of_a_stream(server, number: int, kill) -> tuple[list[float], str]:
    """Seconds between chunks, and the path that was taken; calls `kill` in the middle."""
    body = {"prompt": f"Tale {number} of an old man", "max_tokens": 80, "temperature": 0, "ignore_eos": True,
            "stream": True}
    connection = server.connection()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    times, path = [], ""
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            times.append(time.monotonic())
            path = json.loads(line[6:]).get("tandem", {}).get("path", path)
            if len(times) == KILL_AFTER:
                kill()
    return [after - before for before, after in zip(times, times[1:])], path


def kill(server, instance: str) -> None:
    for pid, arguments in children_of(server.process.pid).items():
        if any(argument.endswith(instance) for argument in arguments):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    largest, usual = [], []
    with TandemServer("--prefill", "1", "--decode", "2") as server:
        for number in range(3 * NUM_STREAMS):
            wait_until(lambda: len(server.get("/cluster")["instances"]) == 3, "all workers are there")
            gaps, path = gaps_of_a_stream(server, number, lambda: kill(server, "decode-0"))
            if path == "migrated":  # else the other one wrote it
                largest.append(1000 * max(gaps))
                usual.append(1000 * statistics.median(gaps))
            if len(largest) == NUM_STREAMS:
                break
    print(f"largest gap of each of {len(largest)} streams, ms: {' '.join(f'{gap:.0f}' for gap in sorted(largest))}; "
          f"median {statistics.median(largest):.0f}; usual gap {statistics.median(usual):.1f}")


if __name__ == "__main__":
    main()
