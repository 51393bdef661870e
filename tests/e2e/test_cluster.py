"""The cluster over HTTP: what is paired and what is healthy, and instances whose role changes while they serve."""

import concurrent.futures
import contextlib
import json
import os
import signal

from tandem_server import MODEL, TandemProcess, TandemServer, free_port, ranks_of, wait_until


def body(i: int) -> dict:
    return {"prompt": f"Tale {i}: a long way off there lived " + "many " * (2 * i) + "cats", "max_tokens": 30,
            "temperature": 0.8, "seed": i, "ignore_eos": True}


def text(server, i: int) -> str:
    return server.post("/v1/completions", body(i))["choices"][0]["text"]


def roles(server) -> dict[str, str]:
    return {instance["name"]: instance["role"] for instance in server.get("/cluster")["instances"]}


def names_by_role(server) -> dict[str, str]:
    """Of a server with one prefill and one decode worker, once both are there."""
    return wait_until(lambda: len(roles(server)) == 2 and {role: name for name, role in roles(server).items()},
                      "both have joined")


def set_role(server, name: str, fields) -> tuple[int, dict]:
    status, _, answer = server.request("POST", f"/cluster/instances/{name}", json.dumps(fields),
                                       {"Content-Type": "application/json"})
    return status, json.loads(answer)


def path(server) -> str:
    return server.request("POST", "/v1/completions", json.dumps({**body(0), "max_tokens": 3}),
                          {"Content-Type": "application/json"})[1]["x-tandem-path"]


def test_the_cluster_is_shown(server):
    cluster = server.get("/cluster")
    assert cluster["servable"]
    assert {instance["role"] for instance in cluster["instances"]} == {"prefill", "decode"}
    for instance in cluster["instances"]:
        assert instance["healthy"] and not instance["draining"]
        assert instance["kv_blocks"]["total"] >= instance["kv_blocks"]["free"] > 0


def test_roles_change_under_load(server):
    """Every combination that an instance can be switched to, while requests run: each has the text it would have had."""
    undisturbed = [text(server, i) for i in range(16)]
    with TandemServer("--prefill", "1", "--decode", "1") as other:
        names = names_by_role(other)
        first, second = names["prefill"], names["decode"]
        switches = [{first: "mixed"}, {second: "mixed"}, {first: "decode", second: "prefill"}, {first: "mixed"},
                    {second: "decode", first: "prefill"}]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for switch in switches:
                futures = [pool.submit(text, other, i) for i in range(16)]
                for name, role in switch.items():
                    assert set_role(other, name, {"role": role}) == (200, {"name": name, "role": role})
                wait_until(lambda: all(roles(other)[name] == role for name, role in switch.items()), "roles are told")
                assert [future.result() for future in futures] == undisturbed
        other.check_no_block_is_lost()


def test_a_role_decides_what_is_routed_there_and_keeps_the_cache(server):
    with TandemServer("--prefill", "1", "--decode", "1") as other:
        names = names_by_role(other)
        prompt = {"prompt": "What this instance has seen it need not see twice. " * 6, "max_tokens": 1}
        other.post("/v1/completions", prompt)
        assert path(other) == "disaggregated"
        set_role(other, names["prefill"], {"role": "mixed"})
        set_role(other, names["decode"], {"role": "prefill"})
        wait_until(lambda: path(other) == "disaggregated" and roles(other)[names["decode"]] == "prefill", "turned round")
        set_role(other, names["decode"], {"role": "mixed"})
        set_role(other, names["prefill"], {"role": "mixed"})
        wait_until(lambda: set(roles(other).values()) == {"mixed"} and path(other) == "local", "both serve alone")
        cached = [other.post("/v1/completions", prompt)["usage"]["prompt_tokens_details"]["cached_tokens"]
                  for _ in range(2)]
        assert max(cached) > 0


def test_a_restarted_worker_has_the_role_it_was_started_with():
    with TandemServer("--prefill", "1", "--decode", "1") as other:
        names = names_by_role(other)
        set_role(other, names["decode"], {"role": "mixed"})
        wait_until(lambda: roles(other)[names["decode"]] == "mixed", "told")
        os.kill(other.workers("decode")[0], signal.SIGKILL)
        wait_until(lambda: roles(other).get(names["decode"]) == "decode", "back in its first role")


def test_bad_role_changes_name_what_is_wrong(server):
    name = next(iter(roles(server)))
    before = roles(server)
    assert set_role(server, "nobody", {"role": "mixed"})[0] == 404
    for fields, message in (({}, "`role` is missing"), ({"role": 7}, "role"), ({"role": "chief"}, "got chief")):
        status, answer = set_role(server, name, fields)
        assert status == 400 and message in answer["error"]["message"] and answer["error"]["param"] == "role"
    assert roles(server) == before


@contextlib.contextmanager
def cluster_of(prefill_flags: list[str], decode_flags: list[str]):
    """A gateway before one prefill and one decode worker with flags of their own; both have joined."""
    address = ["--scheduler", f"127.0.0.1:{free_port()}"]
    common = ["--model", MODEL, *address, "--grpc-port", "0", "--threads", "1"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(TandemProcess("scheduler", "--grpc-port", address[1].rsplit(":", 1)[1]))
        for role, flags in {"prefill": prefill_flags, "decode": decode_flags}.items():
            stack.enter_context(TandemProcess("worker", "--role", role, *common, *flags))
        gateway = stack.enter_context(TandemServer(*address, command="gateway"))
        wait_until(lambda: len(gateway.get("/cluster")["instances"]) == 2, "both have joined", timeout_s=60)
        yield gateway


def test_workers_whose_kv_differs_in_type_are_never_paired():
    """The client reads at once what does not fit, and nothing was tried."""
    with cluster_of(["--kv-cache-dtype", "int8"], ["--kv-cache-dtype", "f16"]) as gateway:
        status, headers, answer = gateway.request("POST", "/v1/completions", json.dumps(body(0)),
                                                  {"Content-Type": "application/json"})
        assert status == 503 and headers["retry-after"], answer
        assert "KV layouts differ in dtype: INT8 sent, F16 expected" in json.loads(answer)["error"]["message"]
        assert gateway.request("GET", "/ready")[0] == 503
        assert gateway.is_idle()


def test_workers_may_differ_in_block_size_and_ranks(server):
    """Blocks of other sizes, and a source whose layers are spread over two processes."""
    with cluster_of(["--block-size", "32", "--pp", "2"], ["--block-size", "8"]) as gateway:
        for i in range(4):
            answer = gateway.post("/v1/completions", body(i))
            assert answer["tandem"]["path"] == "disaggregated"
            assert answer["choices"][0]["text"] == text(server, i)
        gateway.check_no_block_is_lost()


def healthy(server) -> list[bool]:
    return [instance["healthy"] for instance in server.get("/cluster")["instances"]]


def test_health_is_progress(server):
    """A rank stands still in the middle of a stream: its instance goes on reporting, but it has work and makes no step,
    so it gets nothing new. When it moves again it is healthy, and the stream goes on where it was."""
    wanted = {**body(1), "max_tokens": 120}
    with TandemServer("--mixed", "1", "--pp", "2", "--health-timeout", "1s") as other:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(other.post, "/v1/completions", wanted)
            wait_until(lambda: other.kv_blocks()["running"] > 0, "it runs")
            rank, = ranks_of(other)
            os.kill(rank, signal.SIGSTOP)
            try:
                wait_until(lambda: healthy(other) == [False], "it is not healthy")
                status, _, answer = other.request("POST", "/v1/completions", json.dumps(body(2)),
                                                  {"Content-Type": "application/json"})
                assert status == 503 and b"is not healthy" in answer
                assert other.request("GET", "/ready")[0] == 503
            finally:
                os.kill(rank, signal.SIGCONT)
            wait_until(lambda: healthy(other) == [True], "it is healthy again")
            whole = server.post("/v1/completions", wanted)["choices"][0]["text"]
            assert running.result()["choices"][0]["text"] == whole
        assert text(other, 2) == text(server, 2)
        other.check_no_block_is_lost()
