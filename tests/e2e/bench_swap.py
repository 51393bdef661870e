"""What preemption costs by way of the host tier and by computing again: more sequences than the pool holds. By hand:

TANDEM_MODEL=$(python3 tools/fetch_model.py) build/python/bin/python tests/e2e/bench_swap.py
"""

import concurrent.futures
import statistics
import time

from tandem_server import TandemServer
from test_swap import counts

NUM_ROUNDS = 3
NUM_REQUESTS = 10
NUM_OUTPUT = 300
# Room for four of the ten at their full length of about 360 tokens.
POOL = ["--kv-cache-bytes", "32MiB", "--max-model-len", "512"]
WAYS = {"swap": [], "recompute": ["--swap-bytes", "0"]}


def run(flags: list[str]) -> tuple[float, dict[str, float], float]:
    """Seconds for all requests, preemptions by how, and bytes copied."""
    with TandemServer("--mixed", "1", *POOL, *flags) as server:
        def ask(i: int) -> None:
            server.post("/v1/completions", {"prompt": f"{i} " + "and so on and on " * 10, "max_tokens": NUM_OUTPUT,
                                            "temperature": 0, "ignore_eos": True})
        ask(NUM_REQUESTS)  # warms up, and shows the scheduler what a prefill takes
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(NUM_REQUESTS) as pool:
            list(pool.map(ask, range(NUM_REQUESTS)))
        seconds = time.monotonic() - begin
        time.sleep(1)  # heartbeats carry the counters
        copied = sum(counts(server, "tandem_kv_swap_bytes_total", "direction").values())
        return seconds, counts(server, "tandem_preemptions_total", "how"), copied


def main() -> None:
    results = {way: [] for way in WAYS}
    for number in range(NUM_ROUNDS):
        for way in list(WAYS)[::1 if number % 2 == 0 else -1]:
            results[way].append(run(WAYS[way]))
    for way, runs in results.items():
        seconds = [result[0] for result in runs]
        print(f"{way}: {statistics.median(seconds):.1f} s ({min(seconds):.1f}..{max(seconds):.1f}), "
              f"{NUM_REQUESTS * NUM_OUTPUT / statistics.median(seconds):.0f} tokens/s; preemptions "
              f"{[dict(result[1]) for result in runs]}; copied {runs[0][2] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
