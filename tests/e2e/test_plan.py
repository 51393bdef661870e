"""`tandem simulate` and `tandem plan`, as a shell sees them, on DistServe's files."""

import csv
import json
import os
import pathlib
import shlex

import pytest

from tandem_server import MODEL, TandemServer, run_tandem

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "distserve"
COMPAT = ["--compat", "simdistserve", "--model", "facebook/opt-13b", "--profile",
          GOLDEN / "profiler-a100-80g.distserve.json", "--kv-capacity", GOLDEN / "max_num_tokens.csv"]
SHAREGPT = ["--lengths", GOLDEN / "pairs1600.txt"]
TARGETS = ["--goodput", "ttft:250,tpot:100"]
CLUSTER = ["--profile", GOLDEN / "opt13b_tandem_profile.json", "--placement", "2,1,1,1"]


def tandem(command: str, *arguments):
    return run_tandem(command, *map(str, arguments), timeout_s=120)


def test_simulate_prints_a_row_for_each_rate(tmp_path):
    records = tmp_path / "records.csv"
    result = tandem("simulate", *COMPAT, *SHAREGPT, *TARGETS, "--placement", "2,1,1,1", "--rates", "6.9,7.2", "--seed", "0",
                    "--json", "--records", records)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["num_gpus"] == 3
    first, second = report["rates"]
    assert first["ttft_ms"]["p90"] == pytest.approx(235.306317, abs=1e-6)
    assert first["tpot_ms"]["p90"] == pytest.approx(79.529211, abs=1e-6)
    assert second["attainment"] == 0.9
    rows = list(csv.DictReader(records.open()))
    assert len(rows) == 600 and rows[1]["prompt_len"] == "829"


def test_simulate_runs_the_production_schedulers_the_same_way_each_time(tmp_path):
    arguments = [*CLUSTER, *SHAREGPT, "--goodput", "ttft:250", "tpot:100", "--rates", "2,6", "--requests", "200"]
    result, page = tmp_path / "result.json", tmp_path / "report.html"
    first = tandem("simulate", *arguments, "--json", "--result", result, "--html", page)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert [run["completed"] for run in report["runs"]] == [200, 200]
    assert report["runs"][0]["attainment"] > report["runs"][1]["attainment"]
    again = json.loads(tandem("simulate", *arguments, "--json").stdout)
    digests = [run["digest"] for run in report["simulation"]]
    assert digests == [run["digest"] for run in again["simulation"]] and len(set(digests)) == 2
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "attainment" in tandem("bench", "compare", result, result).stdout


def test_simulate_finds_the_highest_rate(tmp_path):
    report = json.loads(tandem("simulate", *CLUSTER, *SHAREGPT, *TARGETS, "--search", "--requests", "300", "--json").stdout)
    search = report["search"]
    assert 0 < search["holding_rate"] < search["failing_rate"] <= 1.06 * search["holding_rate"]


@pytest.fixture
def made_up_profile(tmp_path):
    """Two shapes of an instance; of TP 2 only prefill was measured."""
    latency = {"prefill": {"base_ms": 5, "token_ms": 1, "square_ms": 0}, "decode": {"base_ms": 8, "context_ms": 0.001, "row_ms": 0.2}}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"tandem_profile": 1, "instances": [
        {"model": "m", "device": "d", "tp": tp, "pp": 1, "latency": {**latency, **missing}, "num_kv_tokens": 8192, "kv_bytes_per_token": 23040}
        for tp, missing in ((1, {}), (2, {"decode": {"base_ms": 0, "context_ms": 0, "row_ms": 0}}))]}))
    return path


def plan_arguments(profile, *goodput):
    return ["--profile", profile, "--prompt-tokens", "200", "--output-tokens", "40", "--requests", "200", "--seeds", "2",
            "--goodput", *(goodput or ("ttft:1000", "tpot:12"))]


def test_plan_ranks_tandems_own_placements_with_colocated_ones_among_them(made_up_profile):
    arguments = [*plan_arguments(made_up_profile), "--gpus-per-node", "2"]
    report = json.loads(tandem("plan", *arguments, "--json").stdout)
    names = [placement["placement"] for placement in report["placements"] + report["outclassed"]]
    assert names[0] == "1 prefill + 1 decode", "a tight TPOT wants them apart"
    winner, second = report["placements"][:2]
    assert winner["behind_winner"]["per_device"] == 0 and not winner["tied"]
    differences = [(a - b) / 2 for a, b in zip(winner["samples"], second["samples"])]
    assert second["devices"] == 2, "so a seed's difference per device is half of its rates'"
    assert second["behind_winner"]["per_device"] == pytest.approx(sum(differences) / 2)
    assert sorted(names) == ["1 mixed", "1 prefill + 1 decode", "2 mixed"]
    assert report["cannot_run"] == ["1 mixed (TP 2): the profile has no decode times of TP 2, PP 1"]
    assert report["winner"] == names[0] and report["nodes"] == [["node", "node"]]
    table = tandem("plan", *arguments)
    assert table.returncode == 0 and "winner    " + names[0] in table.stdout
    assert "keep prefill and decode apart" in table.stdout
    nothing = tandem("plan", *plan_arguments(made_up_profile, "ttft:1", "tpot:1"), "--gpus-per-node", "2")
    assert "winner    none" in nothing.stdout


def test_plan_places_on_a_described_cluster(made_up_profile, tmp_path):
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("nodes: [{name: a, count: 2, devices: 1}, {name: b, devices: 2}]\nlinks: {within: 10GB, between: 1GB}\n")
    arguments = [*plan_arguments(made_up_profile), "--cluster", cluster, "--json"]
    low = json.loads(tandem("plan", *arguments).stdout)
    assert low["devices"] == 4 and low["winner"] == "1 prefill + 1 decode" and low["nodes"] == [["b", "b"]]
    high = json.loads(tandem("plan", *arguments, "--affinity", "high", "--demand", "100").stdout)
    assert max(placement["devices"] for placement in high["placements"]) == 4
    assert high["copies_wanted"] > high["copies"]
    assert high["phases"]["prefill"] and high["phases"]["decode"] and "phases" not in low
    assert high["phases"]["together"][0]["promised"] >= 100 and high["phases"]["together"][0]["served"] is None
    for threads in ("1", "2"):
        again = json.loads(tandem("plan", *arguments, "--threads", threads).stdout)
        assert again["placements"] == low["placements"]
    cluster.write_text("nodes:\n- devices: some\n")
    refused = tandem("plan", *arguments)
    assert refused.returncode != 0 and "cluster.yaml:2: nodes[0].devices: expected a whole number" in refused.stderr


def test_plan_takes_this_machine_where_no_cluster_is_described(made_up_profile):
    report = json.loads(tandem("plan", *plan_arguments(made_up_profile), "--json").stdout)
    assert report["devices"] == len(os.sched_getaffinity(0))


def test_plan_prints_a_command_that_serves(made_up_profile, tmp_path):
    compose = tmp_path / "compose.yaml"
    report = json.loads(tandem("plan", *plan_arguments(made_up_profile), "--gpus-per-node", "2", "--model", MODEL,
                               "--compose", compose, "--json").stdout)
    command = shlex.split(report["launch"]["serve"])
    assert command[:4] == ["tandem", "serve", "--model", MODEL]
    with TandemServer(*command[4:]) as server:
        roles = [instance["role"] for instance in server.get("/cluster")["instances"]]
        assert sorted(roles) == ["decode", "prefill"]
        answer = server.post("/v1/completions", {"prompt": "One, two,", "max_tokens": 4})
        assert answer["usage"]["completion_tokens"] == 4
    assert "scale: 0" in compose.read_text() and report["launch"]["compose"] == compose.read_text()


def test_plan_shows_where_the_winner_changes(made_up_profile, tmp_path):
    page = tmp_path / "plan.html"
    arguments = [*plan_arguments(made_up_profile), "--gpus-per-node", "2", "--crossover", "prompt,slo", "--html", page,
                 "--requests", "100"]
    report = json.loads(tandem("plan", *arguments, "--json").stdout)
    prompt, slo = report["crossovers"]
    assert prompt["here"] == 200 and 200 in [point["x"] for point in prompt["points"]]
    best = {placement["placement"]: placement["per_device"] for placement in report["placements"]}
    here = next(point for point in slo["points"] if point["x"] == 1)
    assert here["apart"]["per_device"] == best["1 prefill + 1 decode"]
    assert page.read_text().startswith("<!DOCTYPE html>") and page.read_text().count("<svg") == 2
    assert slo["summary"] in tandem("plan", *arguments).stdout
    refused = tandem("plan", *arguments, "--crossover", "size")
    assert refused.returncode != 0 and "prompt, link and slo" in refused.stderr


def test_plan_tells_what_the_winner_hangs_on(made_up_profile):
    report = json.loads(tandem("plan", *plan_arguments(made_up_profile), "--gpus-per-node", "2", "--sensitivity",
                               "--requests", "60", "--seeds", "1", "--json").stdout)
    changes = {row["what"]: row for row in report["sensitivity"]["rows"]}
    assert changes["prompt tokens"]["less"]["change"] > 0 > changes["prompt tokens"]["more"]["change"]


def test_simulate_says_what_no_instance_has_room_for(made_up_profile):
    arguments = ["--profile", made_up_profile, "--mixed", "1", "--requests", "40", "--output-tokens", "4"]
    some = json.loads(tandem("simulate", *arguments, "--prompt-tokens", "6000..12000", "--json").stdout)
    assert some["refused"]["max_prompt_tokens"] == 8191
    assert some["failed"] == some["refused"]["requests"] > 0 and some["completed"] + some["failed"] == 40
    table = tandem("simulate", *arguments, "--prompt-tokens", "6000..12000").stdout
    assert f"{some['failed']} of the 40 requests are refused at every rate" in table
    assert "the others differ in numbers" in table
    none = tandem("simulate", *arguments, "--prompt-tokens", "9000..12000")
    assert none.returncode != 0
    assert "none of the 40 requests can be served" in none.stderr and "up to 8191" in none.stderr


def test_plan_takes_no_longer_where_a_pool_is_larger_than_any_machines(made_up_profile):
    profile = json.loads(made_up_profile.read_text())
    profile["instances"][0]["num_kv_tokens"] = 2**31
    made_up_profile.write_text(json.dumps(profile))
    # Each simulation would fill gigabytes if it touched every block of the pools.
    result = tandem("plan", *plan_arguments(made_up_profile), "--gpus-per-node", "2", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["placements"]


def test_simulate_takes_a_trace(tmp_path):
    trace = tmp_path / "trace.json"
    trace.write_text(json.dumps([{"start_time": 5 + at / 1000, "prompt_len": prompt, "output_len": output}
                                 for at, prompt, output in [(0, 512, 3), (10, 100, 2), (20, 200, 1)]]))
    records = tmp_path / "records.jsonl"
    result = tandem("simulate", *COMPAT, *TARGETS, "--placement", "1,1,1,1", "--trace", trace, "--records", records)
    assert result.returncode == 0, result.stderr
    assert "trace" in result.stdout
    exits = [json.loads(line)["exit_ms"] for line in records.read_text().splitlines()]
    assert exits == pytest.approx([142.240145, 186.518453, 164.471196], abs=1e-6)


def test_plan_finds_what_distserve_does():
    result = tandem("plan", *COMPAT, *SHAREGPT, *TARGETS, "--gpus-per-node", 4, "--seed", 0, "--json", "--demand", 20)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["winner"] == "(1, 2, 1, 1, 1)"
    assert plan["placements"][0]["goodput_per_gpu"] == 2.34375
    assert plan["replicas"] == 3
    table = tandem("plan", *COMPAT, *SHAREGPT, *TARGETS, "--gpus-per-node", 4, "--seed", 0).stdout
    for text in ("winner    (1, 2, 1, 1, 1)", "GPUs 0-1 prefill, 2 decode", "9 placements (0 cannot run)"):
        assert text in table


def test_plan_says_none_where_nothing_meets_the_targets():
    result = tandem("plan", *COMPAT, *SHAREGPT, "--goodput", "ttft:1,tpot:1", "--gpus-per-node", 4)
    assert result.returncode == 0, result.stderr
    assert "winner    none: no placement meets the targets" in result.stdout


def test_plan_places_the_phases_apart_and_in_a_steady_state():
    result = tandem("plan", *COMPAT, *SHAREGPT, *TARGETS, "--gpus-per-node", 2, "--affinity", "high", "--phases",
                    "independent", "--seeds", 2, "--horizon", 600, "--warmup", 100, "--json")
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["prefill"]["winner"] and plan["decode"]["winner"]
    assert len(plan["decode"]["placements"][0]["samples"]) == 2


def test_plan_knows_the_theory():
    result = tandem("plan", "--theory", "--rates", "1,4.5", "--theory-requests", 100000, "--json")
    assert result.returncode == 0, result.stderr
    theory = json.loads(result.stdout)
    assert theory["crossover_load"] == pytest.approx(0.936059, abs=1e-6)
    assert theory["mean_ttft"][1]["one_device"]["formula_s"] == pytest.approx(1.1)
    assert theory["mean_ttft"][0]["intra_op"]["simulated_s"] == pytest.approx(0.14359, rel=0.01)


@pytest.mark.parametrize("command, arguments, reason", [
    ("simulate", [*COMPAT, *SHAREGPT, *TARGETS, "--rates", "1", "--placement", "2"], "got \"2\""),
    ("simulate", [*COMPAT, *SHAREGPT, *TARGETS, "--rates", "1", "--placement", "3,1,1,1"], "TP 3"),
    ("simulate", [*COMPAT, *SHAREGPT, *TARGETS, "--rates", "1", "--placement", "2,1,1,1", "--requests", "1601"], "1600"),
    ("simulate", [*COMPAT, "--synthetic-lengths", "60000,1,1,1", *TARGETS, "--rates", "1", "--placement", "2,1,1,1"],
     "request 0: its context grows to 60001"),
    ("simulate", ["--rates", "1"], "--profile"),
    ("simulate", [*CLUSTER, *SHAREGPT, "--search"], "--goodput"),
    ("simulate", [*CLUSTER, *SHAREGPT, "--goodput", "ttft:fast"], "ttft:fast"),
    ("simulate", [*COMPAT, *SHAREGPT, *TARGETS, "--placement", "2,1,1,1", "--search"], "--search"),
    ("plan", [*CLUSTER[:2], *SHAREGPT, "--gpus-per-node", "2"], "--goodput"),
    ("plan", [*CLUSTER[:2], "--prompt-tokens", "200000", *TARGETS, "--gpus-per-node", "3"],
     "100% of the requests, prompt and answer, are longer than the 163008 tokens"),
    ("plan", [*COMPAT, *SHAREGPT, "--goodput", "ttft:250"], "--goodput"),
    ("plan", [*COMPAT[:3], "facebook/opt-1b", *COMPAT[4:], *SHAREGPT, *TARGETS], "facebook/opt-1b"),
    ("plan", [*COMPAT, *SHAREGPT, *TARGETS, "--phases", "independent"], "--affinity high"),
    ("plan", [*COMPAT, *SHAREGPT, *TARGETS, "--lengths", "/nowhere"], "/nowhere"),
    ("plan", [*CLUSTER[:2], *SHAREGPT, *TARGETS, "--max-rate", "3"], "--max-rate: only with --compat"),
    ("plan", [*COMPAT, *SHAREGPT, *TARGETS, "--crossover", "slo"], "--crossover: not with --compat"),
    ("simulate", [*CLUSTER, *SHAREGPT, "--ttft-percentile", "99"], "--ttft-percentile: only with --compat"),
    ("plan", ["--theory", *TARGETS], "--goodput: not with --theory"),
    ("simulate", [*COMPAT, *TARGETS, "--placement", "1,1,1,1", "--trace", "/dev/null", "--rates", "1"],
     "--rates: not with"),
    ("simulate", [*CLUSTER, "--prefill", "-1"], "--prefill: expected a whole number from 0 to 1024, or auto"),
    ("plan", ["--profile", "/dev/null", *TARGETS], "/dev/null: not a profile: the file is empty"),
])
def test_bad_input_is_named(command, arguments, reason):
    result = tandem(command, *arguments)
    assert result.returncode != 0
    assert reason in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
