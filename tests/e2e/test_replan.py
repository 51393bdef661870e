"""Planning: roles that follow the traffic, and what another placement would have made of it."""

import concurrent.futures
import contextlib
import json
import re
import threading
import time

import pytest

from tandem_server import TandemServer, wait_until

# Short windows, and as few requests as tell two kinds of traffic apart that differ so much.
FLAGS = ("--prefill", "1", "--decode", "2", "--replan-window", "8s", "--replan-interval", "250ms",
         "--replan-cooldown", "10m", "--replan-requests", "10")


def probe(i: int) -> dict:
    return {"prompt": f"Tale {i}: a long way off there lived " + "many " * (2 * i) + "cats", "max_tokens": 30,
            "temperature": 0.8, "seed": i, "ignore_eos": True}


def text(server, i: int) -> str:
    return server.post("/v1/completions", probe(i))["choices"][0]["text"]


def roles(server) -> dict[str, str]:
    return {instance["name"]: instance["role"] for instance in server.get("/cluster")["instances"]}


def counts(server) -> dict[str, int]:
    names = list(roles(server).values())
    return {role: names.count(role) for role in ("prefill", "decode", "mixed")}


def metric(server, series: str) -> float:
    _, _, body = server.request("GET", "/metrics")
    return float(re.search(rf"^{re.escape(series)} (\S+)$", body.decode(), re.MULTILINE).group(1))


class Traffic:
    """Requests with targets that are sent at a rate, whether earlier ones are answered or not."""

    def __init__(self, server: TandemServer):
        self.server = server
        self.pool = concurrent.futures.ThreadPoolExecutor(128)
        self.futures = []
        self.count = 0

    def send(self, words: int, max_tokens: int, ttft_ms: float) -> int:
        """Status of one request whose prompt no cache has."""
        self.count += 1
        body = {"prompt": f"{self.count} times " * words, "max_tokens": max_tokens, "temperature": 0,
                "ignore_eos": True}
        headers = {"Content-Type": "application/json", "x-slo-ttft-ms": str(ttft_ms), "x-slo-tpot-ms": "60000"}
        return self.server.request("POST", "/v1/completions", json.dumps(body), headers)[0]

    @contextlib.contextmanager
    def at_rate(self, rate: float, **kind):
        over = threading.Event()

        def run() -> None:
            while not over.wait(1 / rate):
                self.futures.append(self.pool.submit(self.send, **kind))

        sender = threading.Thread(target=run)
        sender.start()
        try:
            yield
        finally:
            over.set()
            sender.join()

    def statuses(self) -> set[int]:
        return {future.result() for future in self.futures}


LONG_PROMPTS = {"words": 40, "max_tokens": 2}  # 120 tokens or more


def seconds_alone(traffic: Traffic) -> float:
    """Of a long prompt."""
    times = []
    for _ in range(3):
        start = time.monotonic()
        assert traffic.send(**LONG_PROMPTS, ttft_ms=60000) == 200
        times.append(time.monotonic() - start)
    return min(times)


def shift(server, traffic: Traffic, decided) -> None:
    """Long answers to short prompts; then, until `decided`, more of long prompts than one worker prefills."""
    alone = seconds_alone(traffic)
    with traffic.at_rate(4, words=3, max_tokens=16, ttft_ms=60000):
        wait_until(lambda: server.get("/admin/v1/plan")["planned_for"], "it knows what is usual", timeout_s=60)
    with traffic.at_rate(1.6 / alone, **LONG_PROMPTS, ttft_ms=3000 * alone):
        wait_until(decided, "a decision", timeout_s=60)


def decisions(server) -> list[dict]:
    return server.get("/admin/v1/plan")["decisions"]


def test_roles_follow_a_shift_of_the_traffic(server):
    """Prompts become long: once, a decode worker becomes one that prefills, under load, and no text changes."""
    undisturbed = [text(server, i) for i in range(8)]
    with TandemServer(*FLAGS, "--replan", "on") as planned:
        planned.await_workers()
        traffic = Traffic(planned)
        probes = []

        def decided() -> bool:
            if len(probes) < 8:
                probes.append(traffic.pool.submit(text, planned, len(probes)))
            return bool(decisions(planned))

        shift(planned, traffic, decided)
        decision, = decisions(planned)
        assert decision["action"] == "switch", decision
        assert "prompts" in decision["trigger"] and "gains" in decision["reason"]
        assert decision["candidates"][0]["attainment"] > decision["present"]["attainment"]
        assert decision["chosen"]["placement"] != {"prefill": 1, "decode": 2, "mixed": 0}
        wait_until(lambda: counts(planned) == decision["chosen"]["placement"], "the gateway has heard of it")
        assert decision["switches"] and planned.get("/cluster")["servable"]
        assert [future.result() for future in probes] == undisturbed[:len(probes)] and probes
        assert traffic.statuses() == {200}
        assert metric(planned, 'tandem_replan_decisions_total{action="switch"}') == 1
        assert metric(planned, 'tandem_wanted_replicas{role="decode"}') == decision["wanted_replicas"]["decode"]
        assert planned.log_text().count("replan action=switch") == 1
        planned.check_no_block_is_lost()


def test_a_dry_run_only_says_what_it_would_do():
    with TandemServer(*FLAGS, "--replan", "dry-run") as planned:
        planned.await_workers()
        before = roles(planned)
        traffic = Traffic(planned)
        shift(planned, traffic, lambda: decisions(planned))
        decision, = decisions(planned)
        assert decision["action"] == "would_switch" and decision["switches"]
        assert roles(planned) == before
        assert "replan action=would_switch" in planned.log_text()
        assert traffic.statuses() == {200}


def what_if(server, body: dict) -> tuple[int, dict]:
    status, _, answer = server.request("POST", "/admin/v1/whatif", json.dumps(body),
                                       {"Content-Type": "application/json"})
    return status, json.loads(answer)


@pytest.fixture(scope="module")
def measured():
    """One prefill and one decode worker that have served alone, so that their speed is known."""
    with TandemServer() as server:
        for i in range(24):
            server.post("/v1/completions", {"prompt": f"{i} times " * 30, "max_tokens": 12, "ignore_eos": True})
        yield server


def test_what_if_lays_simulations_beside_what_was_measured(measured):
    status, answer = what_if(measured, {"placement": {"prefill": 2, "decode": 1}, "slo": {"ttft_ms": 60000}})
    assert status == 200, answer
    assert answer["traffic"]["requests"] >= 24 and answer["traffic"]["prompt_tokens"] > 0
    assert answer["measured"]["attainment"] == 1
    assert answer["present"]["placement"] == {"prefill": 1, "decode": 1, "mixed": 0}
    assert answer["whatif"]["placement"] == {"prefill": 2, "decode": 1, "mixed": 0}
    for simulated in (answer["present"]["simulated"], answer["whatif"]["simulated"]):
        assert simulated["unserved"] == 0 and simulated["attainment"] == 1
        for latency in ("ttft_ms", "tpot_ms"):
            measured_p50 = answer["measured"][latency]["p50"]
            assert measured_p50 / 5 < simulated[latency]["p50"] < measured_p50 * 5


def test_what_if_targets_were_others(measured):
    status, answer = what_if(measured, {"slo": {"ttft_ms": 0.001, "tpot_ms": 0.001}})
    assert status == 200, answer
    assert answer["measured"]["attainment"] == 0 and answer["present"]["simulated"]["attainment"] == 0
    assert answer["whatif"] == answer["present"]


def test_what_cannot_be_simulated_says_why(measured):
    for body, field in (({"placement": {"prefill": 2}}, "placement"), ({"minutes": -1}, "minutes"),
                        ({"placement": {"mixed": "all"}}, "placement.mixed"), ({"speed": 2}, "speed")):
        status, answer = what_if(measured, body)
        assert status == 400 and answer["error"]["param"] == field, answer
    wait_until(lambda: what_if(measured, {"minutes": 0.01})[0] == 409, "no requests came lately")
    assert "no requests came" in what_if(measured, {"minutes": 0.01})[1]["error"]["message"]


def test_the_plan_shows_the_traffic_also_where_nothing_is_planned(measured):
    plan = measured.get("/admin/v1/plan")
    assert plan["mode"] == "off" and plan["decisions"] == [] and plan["wanted_replicas"] is None
    assert plan["placement"] == {"prefill": 1, "decode": 1, "mixed": 0}
    assert plan["traffic"]["requests"] >= 24 and plan["traffic"]["output_tokens"] > 0
