"""An instance of several ranks answers as one of a single rank, and lives and dies as one."""

import json
import os
import signal

import pytest

from tandem_server import MODEL, TandemServer, is_alive, ranks_of, run_tandem, wait_until
from test_topologies import NUM_ROUNDS, PROMPTS, STEP_BUDGET_FLAGS, answer, answers_under_load


@pytest.mark.parametrize("flags", [
    ["--mixed", "1", "--pp", "2", *STEP_BUDGET_FLAGS],
    ["--prefill", "1", "--decode", "1", "--pipeline-parallel-size", "2"],
], ids=["mixed", "1P1D"])
def test_two_stages_under_load_answer_as_one_alone(server, flags):
    expected = [answer(server, prompt) for prompt in PROMPTS]
    with TandemServer(*flags) as staged:
        assert len(ranks_of(staged)) == len(staged.workers())
        assert answers_under_load(staged) == expected * NUM_ROUNDS


def test_killed_rank_takes_its_instance_along_and_all_of_it_is_restarted():
    with TandemServer("--mixed", "1", "--pp", "2") as server:
        before = answer(server, PROMPTS[0])
        worker, = server.workers()
        rank, = ranks_of(server)
        os.kill(rank, signal.SIGKILL)
        wait_until(lambda: not is_alive(worker), "the first rank has ended too")
        wait_until(lambda: ranks_of(server), "another instance has two ranks", timeout_s=30)

        def served():
            status, _, body = server.request("POST", "/v1/completions", json.dumps(
                {"prompt": PROMPTS[0], "max_tokens": 24, "temperature": 0, "ignore_eos": True}),
                {"Content-Type": "application/json"})
            assert status in (200, 503), body
            return status == 200 and json.loads(body)["choices"][0]["text"]

        assert wait_until(served, "the next request is served", timeout_s=30) == before[0]


def test_stream_goes_on_or_ends_with_an_error_when_a_rank_dies():
    with TandemServer("--mixed", "1", "--pp", "2") as server:
        connection = server.connection()
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True, "stream": True}),
            {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.readline().startswith(b"data: ")
        os.kill(ranks_of(server)[0], signal.SIGKILL)
        events = [line for line in iter(response.readline, b"") if line.startswith(b"data: ")]
        connection.close()
        last = [json.loads(event[6:]) for event in events if event.strip() != b"data: [DONE]"][-1]
        assert "error" in last or last["choices"][0]["finish_reason"] == "length"


def test_ranks_end_with_a_killed_first_rank_and_with_the_server():
    with TandemServer("--mixed", "1", "--pp", "2") as server:
        rank, = ranks_of(server)
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until(lambda: not is_alive(rank), "the rank ended with the first one")
        wait_until(lambda: ranks_of(server), "the instance is back", timeout_s=30)
        rank, = ranks_of(server)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not is_alive(rank), "the rank ended with the server")


NUM_CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("flags, says", [
    (["--tp", str(NUM_CORES + 1)], f"tp times pp must be at most {NUM_CORES}"),
    (["--tp", "2"], "these do: 1, 3, 9"),
    (["--pp", "4"], f"at most {NUM_CORES}" if NUM_CORES < 4 else "these do: 1, 2, 3, 5, 6, 10, 15, 30"),
    (["--tp", "0"], "--tp"),
], ids=["too-many-ranks", "heads", "layers", "zero"])
def test_impossible_ranks_are_one_line_with_what_would_work(flags, says):
    result = run_tandem("serve", "--model", MODEL, "--port", "0", "--grpc-port", "0", "--mixed", "1", *flags)
    assert result.returncode > 0
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and says in lines[0], result.stderr
