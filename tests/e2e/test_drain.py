"""A worker that is told to end finishes what it can in time and hands the rest on before it is cut."""

import concurrent.futures
import contextlib
import json
import signal

from tandem_server import MODEL, TandemProcess, TandemServer, free_port, wait_until
from test_faults import fallbacks

ENDLESS = {"prompt": "Once upon a time", "max_tokens": 7000, "ignore_eos": True, "temperature": 0}


@contextlib.contextmanager
def cluster(*names: str, drain_timeout: str, replay_timeout: str = "15s"):
    """A gateway, and workers "p0", "d0" and so on by name."""
    address = ["--scheduler", f"127.0.0.1:{free_port()}"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(TandemProcess("scheduler", "--grpc-port", address[1].rsplit(":", 1)[1]))
        workers = {}
        for name in names:
            workers[name] = stack.enter_context(TandemProcess(
                "worker", "--role", {"p": "prefill", "d": "decode"}[name[0]], "--instance-id", name, "--model", MODEL,
                *address, "--grpc-port", "0", "--threads", "1", "--drain-timeout", drain_timeout))
        gateway = stack.enter_context(
            TandemServer(*address, "--replay-timeout", replay_timeout, command="gateway"))
        wait_until(lambda: len(gateway.get("/cluster")["instances"]) == len(names), "all have joined", timeout_s=60)
        yield gateway, workers


class Stream:
    """A completion that is read event by event."""

    def __init__(self, gateway, body: dict):
        self.connection = gateway.connection()
        self.connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}),
                                {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        self.text = ""
        self.num_events = 0

    def next(self):
        """The next event, or None at the end."""
        for line in iter(self.response.readline, b""):
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("choices"):
                self.text += event["choices"][0]["text"]
            self.num_events += 1
            return event
        return None

    def read(self, num_events: int) -> None:
        for _ in range(num_events):
            assert "error" not in self.next()

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def terminate(worker) -> None:
    worker.process.send_signal(signal.SIGTERM)


def instance_of(gateway, workers) -> str:
    """Which decode worker the only stream is at."""
    def busy():
        return [each["name"] for each in gateway.get("/cluster")["instances"]
                if each["name"] in workers and each["name"][0] == "d" and each["requests"]["running"] > 0]
    return wait_until(busy, "one decodes")[0]


def test_what_cannot_finish_in_time_goes_on_elsewhere_without_a_gap(server):
    with cluster("p0", "d0", "d1", drain_timeout="20s") as (gateway, workers):
        stream = Stream(gateway, ENDLESS)
        stream.read(10)
        leaving = workers[instance_of(gateway, workers)]
        terminate(leaving)
        # Long before its time-out, and nothing was cut.
        assert leaving.process.wait(15) == 0
        stream.read(30)
        text = stream.text
        stream.close()
        assert fallbacks(gateway)["migrated"] == 1
        wanted = {**ENDLESS, "max_tokens": stream.num_events + 2}
        assert server.post("/v1/completions", wanted)["choices"][0]["text"].startswith(text)


def test_what_can_finish_in_time_stays(server):
    wanted = {**ENDLESS, "max_tokens": 40}
    with cluster("p0", "d0", "d1", drain_timeout="60s") as (gateway, workers):
        stream = Stream(gateway, wanted)
        stream.read(5)
        leaving = workers[instance_of(gateway, workers)]
        terminate(leaving)
        while stream.next() is not None:
            pass
        assert leaving.process.wait(15) == 0
        assert stream.text == server.post("/v1/completions", wanted)["choices"][0]["text"]
        assert fallbacks(gateway)["migrated"] == 0


def test_what_nobody_else_can_take_goes_on_until_the_timeout_and_ends_with_an_error():
    with cluster("p0", "d0", drain_timeout="3s", replay_timeout="500ms") as (gateway, workers):
        stream = Stream(gateway, ENDLESS)
        stream.read(10)
        terminate(workers["d0"])
        # It is asked to leave at once, and nobody is there.
        stream.read(20)
        event = stream.next()
        while event is not None and "error" not in event:
            event = stream.next()
        assert event is not None and event["error"]["type"] == "service_unavailable"
        assert workers["d0"].process.wait(15) == 1, "something was cut"


def test_prompts_that_a_prefill_worker_cannot_compute_in_time_are_computed_by_another(server):
    bodies = [{**ENDLESS, "prompt": f"{i} " + "Once upon a time " * 150, "max_tokens": 4} for i in range(6)]
    with cluster("p0", "p1", "d0", drain_timeout="2s") as (gateway, workers):
        with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
            futures = [pool.submit(gateway.post, "/v1/completions", body) for body in bodies]
            wait_until(lambda: gateway.kv_blocks()["running"] > 0, "prompts are being computed")
            terminate(workers["p0"])
            answers = [future.result() for future in futures]
        for body, answer in zip(bodies, answers):
            whole = server.post("/v1/completions", body)["choices"][0]["text"]
            assert answer["choices"][0]["text"] == whole
        assert any(answer["tandem"]["path"] == "migrated" for answer in answers)
        workers["p0"].process.wait(15)
        gateway.check_no_block_is_lost()
