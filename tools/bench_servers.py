#!/usr/bin/env python3
"""Starts several servers in turn on this machine, loads each with `tandem bench`, and prints their goodput as Markdown.

    tools/bench_servers.py --output results --workload 128:128 --rates 0.25,0.5,1,2,4 --targets 400:80,1000:100 \\
        --server '1P1D=build/tandem serve --model M.gguf --prefill 1 --decode 1 --no-prefix-caching' \\
        --server '2 mixed=build/tandem serve --model M.gguf --mixed 2 --no-prefix-caching' \\
        --server 'llama.cpp=llama-server -m M.gguf -t 2 -np 16 -c 16384 --host 127.0.0.1 --port 8000'

Every server has to listen at --url. A round goes through all servers, in the order given and then in reverse, and through
the rates upwards, until a rate at which less than half of the requests meet even the loosest targets: there a server is
saturated, and its higher rates are left out. Every run is `tandem bench` with Poisson arrivals and exact lengths; its
requests lie in the --output folder, a file for each run, and what lies there is not run again.

For each server it also writes NAME-PROMPT-OUTPUT.json there, attainments being of the first targets: what
`tandem bench compare results/*-128-128.json --html FILE` plots.

A rate of `inf` sends all requests at once: the served/s of that run are where a server saturates.

A cell of the rates is the highest one that holds (90% of all requests of all rounds within both targets); of the scales,
the smallest factor on TTFT and TPOT of the first targets with which 90% of the requests at that rate are within them.
"""

import argparse
import itertools
import json
import math
import pathlib
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request

ATTAINMENT = 0.9
START_TIMEOUT_S = 600


def within(record, targets, scale=1.0):
    """Whether a request was served within `targets`, (TTFT, TPOT) in ms, times `scale`."""
    return record["outcome"] == "served" and record["ttft_ms"] <= scale * targets[0] and (
        record.get("tpot_ms", 0) <= scale * targets[1])


def attainment(records, targets):
    return sum(within(record, targets) for record in records) / len(records)


def best_rate(runs, targets):
    """Highest rate of `runs` (rate -> records) that holds, with all below it; None where the lowest does not."""
    holding = itertools.takewhile(lambda rate: attainment(runs[rate], targets) >= ATTAINMENT, sorted(runs))
    return max(holding, default=None)


def tightest_scale(records, targets):
    """Smallest factor on `targets` that ATTAINMENT of the requests are within; None where too many failed."""
    scales = sorted(max(record["ttft_ms"] / targets[0], record.get("tpot_ms", 0) / targets[1])
                    for record in records if record["outcome"] == "served")
    needed = math.ceil(ATTAINMENT * len(records))
    return scales[needed - 1] if needed <= len(scales) else None


def percentile(values, share):
    """The value that `share` of `values` are not above; 0 of none."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/v1/models", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def start(name, command, url, folder):
    """The running server; its log is a file in `folder`. It has answered once."""
    if answers(url):
        sys.exit(f"bench_servers: something else answers at {url}; end it first")
    with open(folder / f"{file_name(name)}.log", "w") as log:
        process = subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process)
            sys.exit(f"bench_servers: {name} does not answer at {url}; see {log.name}")
        time.sleep(0.2)
    return process


def stop(process):
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def file_name(text):
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def load(options, rate, seed, path):
    """The requests of one run at `rate`; a run that already lies at `path` is read instead."""
    if not path.exists():
        prompt, output = options.workload
        partial = path.with_suffix(".partial")
        command = [*shlex.split(options.tandem), "bench", "--url", options.url, "--prompt-tokens", str(prompt),
                   "--output-tokens", str(output), "--rates", f"{rate:g}", "--requests", str(options.requests),
                   "--seed", str(seed), "--records", str(partial)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"bench_servers: exit status {done.returncode} of: {shlex.join(command)}\n{done.stderr[-2000:]}")
        partial.rename(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_path(options, name, rate, i):
    prompt, output = options.workload
    return options.output / f"{file_name(name)}-{prompt}-{output}-{rate:g}-{i + 1}.jsonl"


def measure_server(options, name, command, i):
    """Rate -> requests of round `i`."""
    runs, process = {}, None
    loosest = max(targets[0] for targets in options.targets), max(targets[1] for targets in options.targets)
    try:
        for rate in options.rates:
            path = run_path(options, name, rate, i)
            if process is None and not path.exists():
                process = start(name, command, options.url, options.output)
            runs[rate] = load(options, rate, options.seed + i, path)
            share = attainment(runs[rate], loosest)
            print(f"round {i + 1}/{options.rounds}: {name} at {rate:g}/s: {100 * share:.0f}% within "
                  f"{loosest[0]:g}:{loosest[1]:g}", file=sys.stderr, flush=True)
            if share < 0.5:
                break
    finally:
        if process is not None:
            stop(process)
    return runs


def measure(options):
    """Server -> rate -> requests of all rounds."""
    measured = {name: {} for name, _ in options.server}
    for i in range(options.rounds):
        for name, command in options.server if i % 2 == 0 else reversed(options.server):
            for rate, records in measure_server(options, name, command, i).items():
                measured[name].setdefault(rate, []).extend({**record, "round": i} for record in records)
    return measured


def result(runs, targets):
    """`runs` (rate -> records) in the shape of `tandem bench --result`, with what `bench compare` plots."""
    results = []
    for rate, records in sorted(runs.items()):
        ttft, tpot = latencies(records)
        results.append({
            "request_rate": rate if math.isfinite(rate) else "inf", "num_prompts": len(records), "completed": len(ttft),
            "attainment": attainment(records, targets), "goodput_targets": f"ttft:{targets[0]:g} tpot:{targets[1]:g}",
            "median_ttft_ms": percentile(ttft, 0.5), "p90_ttft_ms": percentile(ttft, 0.9),
            "median_tpot_ms": percentile(tpot, 0.5), "p90_tpot_ms": percentile(tpot, 0.9),
            "slo_scale": [{"scale": tightest_scale(records, targets), "attainment": ATTAINMENT}]})
    return {"runs": results}


def latencies(records):
    """TTFT and TPOT in ms of the requests that were served."""
    served = [record for record in records if record["outcome"] == "served"]
    return [record["ttft_ms"] for record in served], [record.get("tpot_ms", 0) for record in served]


def throughput(records):
    """Requests that were served per second, in each round from the first one's time to the last one's end."""
    begins, ends = {}, {}
    for record in records:
        each, begin = record["round"], record["scheduled_ms"]
        begins[each] = min(begin, begins.get(each, begin))
        ends[each] = max(begin + record.get("e2el_ms", 0), ends.get(each, begin))
    num_served = sum(record["outcome"] == "served" for record in records)
    return 1000 * num_served / max(1e-6, sum(ends.values()) - sum(begins.values()))


def pair(targets):
    return f"{targets[0]:g}:{targets[1]:g}"


def table(header, rows):
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(row)} |" for row in rows)])


def runs_table(measured, targets):
    rows = []
    for name, runs in measured.items():
        for rate, records in sorted(runs.items()):
            ttft, tpot = latencies(records)
            rows.append([name, f"{rate:g}", f"{len(ttft)} of {len(records)}",
                         f"{throughput(records):.2f}",
                         f"{percentile(ttft, 0.5):.0f}, {percentile(ttft, 0.9):.0f}",
                         f"{percentile(tpot, 0.5):.1f}, {percentile(tpot, 0.9):.1f}",
                         *(f"{100 * attainment(records, each):.0f}%" for each in targets)])
    return table(["server", "requests/s", "served", "served/s", "TTFT P50, P90 (ms)", "TPOT P50, P90 (ms)",
                  *map(pair, targets)], rows)


def rate_cell(rate, rates):
    return f"below {rates[0]:g}" if rate is None else f"{rate:g}"


def summary(measured, targets, rates):
    rows = [[name, *(rate_cell(best_rate(runs, each), rates) for each in targets)] for name, runs in measured.items()]
    return table(["highest rate that holds", *map(pair, targets)], rows)


def scale_table(measured, targets, rates):
    rows = []
    for name, runs in measured.items():
        scales = [tightest_scale(runs[rate], targets) if rate in runs else None for rate in rates]
        rows.append([name, *("-" if scale is None else f"{scale:.2f}" for scale in scales)])
    return table([f"tightest scale of {pair(targets)} at", *(f"{rate:g}/s" for rate in rates)], rows)


def named_command(text):
    name, separator, command = text.partition("=")
    if not separator or not name or not command.strip():
        raise argparse.ArgumentTypeError(f"expected NAME=COMMAND, got '{text}'")
    return name, command


def numbers(kind):
    """A parser of "A:B" into a pair of positive numbers of `kind`."""
    def parse(text):
        try:
            first, second = (kind(part) for part in text.split(":"))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected two numbers A:B, got '{text}'") from None
        if first <= 0 or second <= 0:
            raise argparse.ArgumentTypeError(f"expected numbers above 0, got '{text}'")
        return first, second
    return parse


def positive_rates(text):
    try:
        rates = sorted(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers, got '{text}'") from None
    if rates[0] <= 0:
        raise argparse.ArgumentTypeError(f"expected rates above 0, got '{text}'")
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=named_command, action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where each listens (default: %(default)s)")
    parser.add_argument("--tandem", default="build/tandem", help="the load tester (default: %(default)s)")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FOLDER", help="where the runs lie")
    parser.add_argument("--workload", type=numbers(int), default=(512, 64), metavar="PROMPT:OUTPUT", help="tokens")
    parser.add_argument("--rates", type=positive_rates, default=[0.5, 1, 2, 4], help="requests/s, separated by commas; inf: all at once")
    parser.add_argument("--targets", type=lambda text: [numbers(float)(part) for part in text.split(",")],
                        default=[(400, 40), (1000, 100)], metavar="TTFT:TPOT,...", help="in ms")
    parser.add_argument("--requests", type=int, default=60, help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each server and rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round (default: %(default)s)")
    options = parser.parse_args()
    for name in ("requests", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    options.output.mkdir(parents=True, exist_ok=True)
    measured = measure(options)
    for name, runs in measured.items():
        prompt, output = options.workload
        path = options.output / f"{file_name(name)}-{prompt}-{output}.json"
        path.write_text(json.dumps(result(runs, options.targets[0]), indent=1))
    print(runs_table(measured, options.targets), summary(measured, options.targets, options.rates),
          scale_table(measured, options.targets[0], options.rates), sep="\n\n")


if __name__ == "__main__":
    main()
