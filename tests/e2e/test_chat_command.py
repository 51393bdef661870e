"""`tandem chat`: one question, its answer, and a last line of figures."""

import re

from stub_openai import STREAM_HEAD, StubServer, answer, event
from tandem_server import run_tandem


def chat(server, *arguments: str):
    return run_tandem("chat", "--url", f"http://{server.http}", "--temperature", "0", *arguments, timeout_s=60)


def test_prompt_is_answered_with_figures(server):
    # Nobody has begun like this: what a decode worker knows already, it may go on with alone.
    result = chat(server, "--system", "Geography is your subject.", "--prompt", "What is the capital of France?")
    assert result.returncode == 0, result.stderr
    *answer, figures = result.stdout.strip().splitlines()
    assert "Paris" in " ".join(answer)
    for name in ("TTFT", "TPOT", "tokens/s", "KV"):
        assert name in figures, figures
    assert re.search(r"\d", figures)


def test_unreachable_server_is_one_clear_line():
    result = run_tandem("chat", "--url", "http://127.0.0.1:9", "--prompt", "Hi")
    assert result.returncode != 0
    assert "127.0.0.1:9" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_server_s_refusal_is_shown(server):
    result = chat(server, "--prompt", "word " * 9000)
    assert result.returncode != 0
    assert "maximum context length" in result.stderr


def chat_with_stub(*pieces: bytes):
    with StubServer(lambda number, request: list(pieces)) as stub:
        return run_tandem("chat", "--url", stub.url, "--prompt", "Hi")


def test_fields_of_another_kind_than_expected_are_passed_over():
    events = [{"choices": {}}, {"choices": [None]}, {"choices": [{"delta": None}]}, {"choices": [], "error": None},
              {"choices": [{"delta": {"content": "Hello"}}], "usage": {"completion_tokens": None}},
              {"usage": None, "tandem": {"kv_bytes": "many", "decode": 7}}]
    result = chat_with_stub(STREAM_HEAD, *map(event, events), event("[DONE]"), b"0\r\n\r\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Hello\n[0 tokens, TTFT "), result.stdout


def test_an_error_without_a_message_is_an_error():
    assert "HTTP 500: an error without a message" in chat_with_stub(
        *answer("500 Internal Server Error", "", b'{"error":{"message":null}}')).stderr
    result = chat_with_stub(STREAM_HEAD, event({"error": {"message": None}}), b"0\r\n\r\n")
    assert result.returncode != 0
    assert "an error without a message" in result.stderr
