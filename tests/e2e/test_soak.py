"""A minute (TANDEM_SOAK_SECONDS: longer) of 100 clients, of whom three in ten go away early, while workers are killed:
every answer that is read to its end is the one of an undisturbed server, and no block is lost."""

import concurrent.futures
import json
import os
import random
import signal
import threading
import time

from tandem_server import TandemServer, wait_until

SECONDS = float(os.environ.get("TANDEM_SOAK_SECONDS", "60"))
NUM_CLIENTS = 100
NUM_BODIES = 40
SECONDS_BETWEEN_KILLS = 7
SHARE_CANCELLED = 0.3
LONGEST_PAUSE_S = 30  # Before a worker that has died often is started again; a long soak comes to that.


def body(i: int) -> dict:
    """Prompts of several lengths, some with a common beginning; sampled, with state that a replay must carry on."""
    return {"prompt": f"Chronicle {i % 8}: " + "long ago " * (4 * (i % 8)) + f"there lived {i} foxes",
            "max_tokens": 8 + 4 * (i % 5), "temperature": 0.7, "seed": i, "presence_penalty": 0.3, "stream": True,
            "ignore_eos": True}


def stream(server, i: int, cancel_after: int | None) -> str | None:
    """The whole text, or None if the client went away: after some chunks, or if there are to be none, soon after it has
    asked, which may be in a queue, in prefill, or while KV is on its way."""
    connection = server.connection()
    try:
        connection.request("POST", "/v1/completions", json.dumps(body(i)), {"Content-Type": "application/json"})
        if cancel_after == 0:
            time.sleep(random.uniform(0, 0.5))
            return None
        response = connection.getresponse()
        assert response.status == 200, response.read()
        texts = []
        for line in response:
            if line == b"data: [DONE]\n":
                return "".join(texts)
            if line.startswith(b"data: "):
                chunk = json.loads(line[6:])
                assert "error" not in chunk, chunk
                texts.append(chunk["choices"][0]["text"])
                if cancel_after is not None and len(texts) >= cancel_after:
                    return None
        raise AssertionError(f"the stream of request {i} broke off")
    finally:
        connection.close()


def test_soak(server):
    undisturbed = [stream(server, i, None) for i in range(NUM_BODIES)]
    end = time.monotonic() + SECONDS
    num_whole, num_cancelled = 0, 0
    lock = threading.Lock()

    def client(number: int, soaked) -> None:
        nonlocal num_whole, num_cancelled
        choose = random.Random(number)
        while time.monotonic() < end:
            i = choose.randrange(NUM_BODIES)
            cancel_after = choose.randrange(8) if choose.random() < SHARE_CANCELLED else None
            text = stream(soaked, i, cancel_after)
            assert text is None or text == undisturbed[i], (i, text, undisturbed[i])
            with lock:
                num_whole += text is not None
                num_cancelled += text is None

    with TandemServer("--prefill", "2", "--decode", "2") as soaked:
        with concurrent.futures.ThreadPoolExecutor(NUM_CLIENTS) as pool:
            clients = [pool.submit(client, number, soaked) for number in range(NUM_CLIENTS)]
            choose = random.Random(4711)
            num_killed = 0
            while time.monotonic() < end and not any(c.done() for c in clients):
                time.sleep(SECONDS_BETWEEN_KILLS)
                role = ("prefill", "decode")[num_killed % 2]
                if workers := soaked.workers(role):
                    os.kill(choose.choice(workers), signal.SIGKILL)
                    num_killed += 1
            for client_of in clients:
                client_of.result()
        assert num_whole > NUM_CLIENTS and num_cancelled > 0 and num_killed > 0
        wait_until(lambda: len(soaked.workers()) == 4, "killed workers are started again", LONGEST_PAUSE_S + 10)
        soaked.check_no_block_is_lost()
        print(f"{num_whole} answers, {num_cancelled} cancelled, {num_killed} workers killed")
