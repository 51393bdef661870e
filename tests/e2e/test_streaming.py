"""Server-sent events as bytes: what benchmark tools and proxies look at, and client libraries hide."""

import json

CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0, "stream": True}


def events(server, path: str, body: dict) -> list:
    """The data of each event of a stream, JSON where it is JSON."""
    status, headers, answer = server.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    assert status == 200, answer
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-cache"
    text = answer.decode()
    assert text.endswith("data: [DONE]\n\n")
    found = [event for event in text.split("\n\n")[:-1] if not event.startswith(":")]
    assert all(event.startswith("data: ") and "\n" not in event for event in found)
    return [data if data == "[DONE]" else json.loads(data) for data in (event[6:] for event in found)]


def test_chat_stream_begins_with_the_role_and_ends_with_the_reason(server):
    *chunks, done = events(server, "/v1/chat/completions", CHAT)
    assert done == "[DONE]"
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert choices[-1]["delta"] == {}
    assert choices[-1]["finish_reason"] == "stop"
    assert all(choice["finish_reason"] is None for choice in choices[:-1])
    assert "Paris" in "".join(choice["delta"].get("content", "") for choice in choices)


def test_usage_comes_in_a_chunk_of_its_own(server):
    *chunks, last, _ = events(server, "/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]


def test_usage_in_every_chunk_where_it_is_asked_for(server):
    *chunks, _ = events(server, "/v1/chat/completions", {
        **CHAT, "stream_options": {"include_usage": True, "continuous_usage_stats": True}})
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] > 1


def test_completion_stream_has_text_chunks(server):
    *chunks, _ = events(server, "/v1/completions", {"prompt": "One, two,", "max_tokens": 5, "temperature": 0,
                                                    "stream": True})
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    plain = server.post("/v1/completions", {"prompt": "One, two,", "max_tokens": 5, "temperature": 0})
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == plain["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_chunks_never_cut_a_character(server):
    """Characters of several tokens arrive whole: no replacement character that the plain answer does not have."""
    body = {"prompt": "🙂🙃😉😊🙂🙃😉😊🙂🙃", "max_tokens": 24, "temperature": 0, "ignore_eos": True}
    plain = server.post("/v1/completions", body)["choices"][0]["text"]
    *chunks, _ = events(server, "/v1/completions", {**body, "stream": True})
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == plain


def test_errors_before_the_first_token_keep_their_status(server):
    status, _, answer = server.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "temperature": "x"}),
                                       {"Content-Type": "application/json"})
    assert status == 400
    assert json.loads(answer)["error"]["param"] == "temperature"


def test_a_connection_serves_several_requests(server):
    connection = server.connection()
    for _ in range(3):
        connection.request("POST", "/v1/chat/completions", json.dumps({**CHAT, "max_tokens": 2}),
                           {"Content-Type": "application/json"})
        assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
    connection.close()
