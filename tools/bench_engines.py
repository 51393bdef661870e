#!/usr/bin/env python3
"""Runs several engines in turn on this machine and prints how fast each is, as Markdown.

    tools/bench_engines.py --rounds 5 \\
        --engine 'Tandem=build/tandem bench-engine --model M.gguf --threads 2 --repetitions 1 --json' \\
        --engine 'llama.cpp=llama-bench -m M.gguf -t 2 -p 128,512,1536 -n 0 -r 1' \\
        --engine 'llama.cpp=llama-batched-bench -m M.gguf -t 2 -c 32768 -npp 128 -ntg 64 -npl 1,8,32,64' \\
        --engine 'other=python3 other_engine.py M.gguf 2'

Every round runs every command once, in the order given and then in reverse, so that no engine always has the
quieter or cooler machine. An engine may have several commands. What they print is read as one of: the JSON of
`tandem bench-engine`, the tables of `llama-bench` (its prompts) and `llama-batched-bench` (its generation), or lines
`prefill 512: 1234 tokens/s` and `decode batch 8: 234 tokens/s`. Of equal rows in one output the fastest counts.

Cells are medians over the rounds; a ratio is the median of the rounds' own ratios, first engine by the others.
"""

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys

PLAIN_LINE = re.compile(
    r"^(prefill (?P<prompt>\d+)|decode batch (?P<batch>\d+)( \((?P<range>\d+\.\.\d+)\))?): (?P<rate>[\d.]+) tokens/s",
    re.MULTILINE)


def parse_tandem(text, _):
    return [(row["name"], row["tokens_per_s"]["median"]) for row in json.loads(text)["rows"]]


def table_rows(text):
    """The rows of the Markdown tables in `text`, as dictionaries by column."""
    header = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.strip().startswith("|") or set("".join(cells)) <= set("-: "):
            continue
        if "t/s" in cells or "S_TG t/s" in cells:
            header = cells
        elif header and len(cells) == len(header):
            yield dict(zip(header, cells))


def parse_llama_bench(text, _):
    prompts = [(re.match(r"pp(\d+)$", row.get("test", "")), row) for row in table_rows(text)]
    return [(f"prefill {match[1]}", float(row["t/s"].split()[0])) for match, row in prompts if match]


def parse_llama_batched_bench(text, _):
    rates = []
    for row in table_rows(text):
        begin, grown = int(row["PP"]), int(row["TG"])
        rates.append((f"decode batch {row['B']} ({begin}..{begin + grown})", float(row["S_TG t/s"])))
    return rates


def parse_lines(text, decode_range):
    rates = []
    for match in PLAIN_LINE.finditer(text):
        if match["prompt"]:
            name = f"prefill {match['prompt']}"
        else:
            name = f"decode batch {match['batch']} ({match['range'] or decode_range})"
        rates.append((name, float(match["rate"])))
    return rates


def parse_output(text, decode_range):
    """Row name -> tokens/s of what an engine printed."""
    if text.lstrip().startswith("{"):
        parse = parse_tandem
    elif "S_TG t/s" in text:
        parse = parse_llama_batched_bench
    elif re.search(r"\| +t/s +\|", text):
        parse = parse_llama_bench
    else:
        parse = parse_lines
    rates = {}
    for name, rate in parse(text, decode_range):
        rates[name] = max(rate, rates.get(name, 0))
    return rates


def run(command, decode_range):
    result = subprocess.run(shlex.split(command), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        sys.exit(f"bench_engines: exit status {result.returncode} of: {command}\n{result.stderr[-2000:]}")
    rates = parse_output(result.stdout, decode_range)
    if not rates:
        sys.exit(f"bench_engines: no rates in the output of: {command}\n{result.stdout[-2000:]}")
    return rates


def measure(engines, rounds, decode_range):
    """Engine -> row -> rates, one per round. `engines` are (name, command)."""
    measured = {name: {} for name, _ in engines}
    for i in range(rounds):
        for name, command in engines if i % 2 == 0 else reversed(engines):
            print(f"round {i + 1}/{rounds}: {name}", file=sys.stderr, flush=True)
            for row, rate in run(command, decode_range).items():
                measured[name].setdefault(row, []).append(rate)
    return measured


def row_order(row):
    kind = 0 if row.startswith("prefill") else 1
    return kind, [int(number) for number in re.findall(r"\d+", row)]


def cell(rates):
    if not rates:
        return "-"
    return f"{statistics.median(rates):.0f} ({min(rates):.0f}..{max(rates):.0f})"


def ratio(ours, theirs):
    if not ours or not theirs:
        return "-"
    ratios = [a / b for a, b in zip(ours, theirs)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def markdown(measured):
    first, *others = measured
    rows = sorted({row for rates in measured.values() for row in rates}, key=row_order)
    lines = ["| tokens/s, median (min..max) | " + " | ".join([*measured, *(f"{first} / {name}" for name in others)]) + " |",
             "|---" * (1 + len(measured) + len(others)) + "|"]
    for row in rows:
        cells = [cell(rates.get(row)) for rates in measured.values()]
        cells += [ratio(measured[first].get(row), measured[name].get(row)) for name in others]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def engine(text):
    name, separator, command = text.partition("=")
    if not separator or not name or not command.strip():
        raise argparse.ArgumentTypeError(f"expected NAME=COMMAND, got '{text}'")
    return name, command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=engine, action="append", required=True, metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5, help="times that each command runs (default: %(default)s)")
    parser.add_argument("--decode-range", default="128..192",
                        help="lengths of decoded sequences where lines do not say (default: %(default)s)")
    parser.add_argument("--save", metavar="FILE", help="write all rates as JSON")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    measured = measure(options.engine, options.rounds, options.decode_range)
    if options.save:
        with open(options.save, "w") as file:
            json.dump({"engines": options.engine, "rates": measured}, file, indent=1)
    print(markdown(measured))
    print(f"\nMedians of {options.rounds} alternations.")


if __name__ == "__main__":
    main()
