"""tools/bench_engines.py: what it reads of each engine's output, and the table it makes."""

import pathlib
import shlex
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/bench_engines.py"
sys.path.insert(0, str(TOOL.parent))

import bench_engines  # noqa: E402

TANDEM = """
{"version": "0.1.0",
 "rows": [{"name": "prefill 128", "phase": "prefill", "tokens_per_s": {"median": 1500.5, "min": 1, "max": 2}},
          {"name": "decode batch 8 (128..192)", "phase": "decode", "tokens_per_s": {"median": 300}}]}
"""

LLAMA_BENCH = """
| model                          |       size |     params | backend    | threads | fa |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | ------: | -: | --------------: | -------------------: |
| llama ?B Q4_1                  |  91.73 MiB |   134.52 M | CPU        |       2 |  0 |           pp128 |      1700.10 ± 12.34 |
| llama ?B Q4_1                  |  91.73 MiB |   134.52 M | CPU        |       2 |  1 |           pp128 |       1723.45 ± 1.00 |
| llama ?B Q4_1                  |  91.73 MiB |   134.52 M | CPU        |       2 |  0 |            tg64 |        236.00 ± 1.00 |

build: unknown (0)
"""

LLAMA_BATCHED_BENCH = """
main: n_kv_max = 32768, n_batch = 2048

|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|   128 |     64 |    1 |    192 |    0.139 |   920.01 |    0.271 |   236.03 |    0.410 |   468.29 |
|   128 |     64 |    8 |   1536 |    0.601 |  1703.83 |    1.566 |   326.95 |    2.167 |   708.81 |
"""

LINES = """start 3.4 s
prefill 512: 3823 tokens/s
decode batch 8: 280.5 tokens/s
decode batch 64 (256..320): 900 tokens/s
peak resident memory 1200 MB
"""


@pytest.mark.parametrize("text, rates", [
    (TANDEM, {"prefill 128": 1500.5, "decode batch 8 (128..192)": 300}),
    (LLAMA_BENCH, {"prefill 128": 1723.45}),
    (LLAMA_BATCHED_BENCH, {"decode batch 1 (128..192)": 236.03, "decode batch 8 (128..192)": 326.95}),
    (LINES, {"prefill 512": 3823, "decode batch 8 (128..192)": 280.5, "decode batch 64 (256..320)": 900}),
    ("nothing to see", {}),
], ids=["tandem", "llama-bench", "llama-batched-bench", "lines", "none"])
def test_output_of_each_engine_is_read(text, rates):
    assert bench_engines.parse_output(text, "128..192") == rates


def test_table_has_medians_and_ratios_of_the_rounds():
    table = bench_engines.markdown({
        "ours": {"prefill 128": [100, 110, 90], "decode batch 1 (128..192)": [50]},
        "theirs": {"prefill 128": [50, 50, 60]},
    })
    assert table.splitlines() == [
        "| tokens/s, median (min..max) | ours | theirs | ours / theirs |",
        "|---|---|---|---|",
        "| prefill 128 | 100 (90..110) | 50 (50..60) | 2.00 (1.50..2.20) |",
        "| decode batch 1 (128..192) | 50 (50..50) | - | - |",
    ]


def test_rows_are_in_the_order_of_their_numbers():
    rows = ["decode batch 32 (1..2)", "prefill 1536", "decode batch 8 (1..2)", "prefill 128"]
    assert sorted(rows, key=bench_engines.row_order) == [
        "prefill 128", "prefill 1536", "decode batch 8 (1..2)", "decode batch 32 (1..2)"]


def printing(text: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(f'print({text!r})')}"


def run_tool(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, timeout=60)


def test_engines_run_in_turn_and_one_may_have_several_commands():
    result = run_tool("--rounds", "2", "--engine", "a=" + printing("prefill 8: 30 tokens/s"),
                      "--engine", "b=" + printing("prefill 8: 10 tokens/s"),
                      "--engine", "a=" + printing("decode batch 2: 7 tokens/s"))
    assert result.returncode == 0, result.stderr
    assert "| prefill 8 | 30 (30..30) | 10 (10..10) | 3.00 (3.00..3.00) |" in result.stdout
    assert "| decode batch 2 (128..192) | 7 (7..7) | - | - |" in result.stdout
    assert [line.split()[-1] for line in result.stderr.splitlines()] == ["a", "b", "a", "a", "b", "a"]


@pytest.mark.parametrize("command, reason", [
    (f"{shlex.quote(sys.executable)} -c 'import sys; sys.exit(\"broken engine\")'", "broken engine"),
    (printing("hello"), "no rates"),
])
def test_engine_that_fails_ends_the_run(command, reason):
    result = run_tool("--engine", "a=" + command)
    assert result.returncode != 0
    assert reason in result.stderr
