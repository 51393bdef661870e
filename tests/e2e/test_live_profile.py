"""The profile that a running cluster has learnt of itself, and simulations from it."""

import concurrent.futures
import json

from tandem_server import TandemServer, run_tandem, wait_until


def ask(server, i: int) -> None:
    words = " ".join(f"{i}{j}" for j in range(4 + 3 * (i % 7)))
    server.post("/v1/completions", {"prompt": words, "max_tokens": 8, "temperature": 0, "ignore_eos": True})


def profile_of(server) -> tuple[int, dict]:
    status, _, body = server.request("GET", "/admin/v1/profile")
    return status, json.loads(body)


def test_a_cluster_that_has_served_is_simulated_from_its_own_profile(tmp_path):
    with TandemServer("--prefill", "1", "--decode", "1", "--threads", "1") as server:
        status, refused = profile_of(server)
        assert status == 409
        assert "0 of 16 steps with prompts, 0 of 16 steps of decoding" in refused["error"]["message"]

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: ask(server, i), range(40)))
        wait_until(lambda: profile_of(server)[0] == 200, "a profile")
        _, profile = profile_of(server)

    [instance] = profile["instances"]
    assert (instance["tp"], instance["pp"], instance["threads"]) == (1, 1, 1)
    assert instance["model"] and instance["device"] and instance["weight_bytes"] > 1e6
    assert instance["num_kv_tokens"] > 1000 and instance["kv_bytes_per_token"] > 0
    assert instance["steps"]["prefill"] + instance["steps"]["mixed"] >= 16
    assert instance["steps"]["decode"] >= 16 and 0 < instance["mean_error"] < 3
    assert instance["latency"]["decode"]["base_ms"] + instance["latency"]["decode"]["row_ms"] > 0
    path = profile["path"]
    assert path["requests"] == 40 and 0 < path["handoffs"] <= 40
    assert all(path[name] > 0 for name in ("ingress_ms", "route_ms", "network_ms", "kv_exposed_ms"))

    file = tmp_path / "profile.json"
    file.write_text(json.dumps(profile))
    workload = ("--profile", str(file), "--prompt-tokens", "64", "--output-tokens", "16", "--requests", "50",
                "--goodput", "ttft:60000", "tpot:60000")
    simulated = run_tandem("simulate", *workload, "--rates", "0.2", "--json")
    assert simulated.returncode == 0, simulated.stderr
    assert json.loads(simulated.stdout)["completed"] == 50
    planned = run_tandem("plan", *workload, "--gpus-per-node", "2", "--json")
    assert planned.returncode == 0, planned.stderr
    names = {placement["placement"] for placement in json.loads(planned.stdout)["placements"]}
    assert "1 prefill + 1 decode" in names


def test_mixed_workers_learn_both_phases(tmp_path):
    with TandemServer("--mixed", "1") as server:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: ask(server, i), range(24)))
        wait_until(lambda: profile_of(server)[0] == 200, "a profile")
        _, profile = profile_of(server)
    steps = profile["instances"][0]["steps"]
    assert steps["mixed"] > 0 and steps["decode"] > 0
    assert profile["path"]["requests"] == 24 and "kv_exposed_ms" not in profile["path"]
