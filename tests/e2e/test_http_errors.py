"""Each refusal has the conventional status and an error object with all four keys."""

import json

import pytest

JSON = {"Content-Type": "application/json"}
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def refusal(server, method, path, body=None, headers=JSON):
    """Status and error object of a request that must be refused."""
    status, _, answer = server.request(method, path, body, headers)
    error = json.loads(answer)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"]
    return status, error


def refused_field(server, path, **fields):
    return refusal(server, "POST", path, json.dumps(fields))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"messages": [}', b'"text"', b"[" * 5000])
def test_body_that_is_no_json_object(server, body):
    status, error = refusal(server, "POST", "/v1/chat/completions", body)
    assert (status, error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("field, value", [
    ("temperature", "hot"), ("temperature", -1), ("temperature", 1e300), ("top_p", 2), ("top_p", []), ("n", 0),
    ("n", 1.5), ("n", 10**30), ("max_tokens", "many"), ("max_tokens", -5), ("stop", 7), ("stream", "yes"),
    ("messages", "Hi"), ("messages", []), ("messages", [{"role": "user"}]), ("logit_bias", {"one": 1}),
    ("logit_bias", {"999999": 1}), ("top_logprobs", 21), ("seed", "x"), ("presence_penalty", {}),
    ("repetition_penalty", -1), ("min_tokens", -1), ("stop_token_ids", ["a"]), ("cache_salt", "")])
def test_wrong_value_names_its_field(server, field, value):
    status, error = refused_field(server, "/v1/chat/completions", **{**CHAT, "logprobs": True, field: value})
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["param"].startswith(field)


@pytest.mark.parametrize("prompt", [5, {}, [[1, "a"]], [1, -1], [999999], [], [2**40]])
def test_prompt_of_the_wrong_kind_names_its_field(server, prompt):
    status, error = refused_field(server, "/v1/completions", prompt=prompt)
    assert (status, error["param"]) == (400, "prompt")


def test_missing_messages_are_named(server):
    status, error = refused_field(server, "/v1/chat/completions", temperature=0)
    assert (status, error["param"]) == (400, "messages")


def test_null_means_absent(server):
    server.post("/v1/chat/completions", {**CHAT, "max_tokens": 1, "temperature": None, "stop": None, "tools": None})


def test_unknown_fields_are_ignored(server):
    server.post("/v1/chat/completions", {**CHAT, "max_tokens": 1, "no_such_field": {"a": 1}})


def test_stream_options_need_a_stream(server):
    status, error = refused_field(server, "/v1/chat/completions", **CHAT, stream_options={"include_usage": True})
    assert (status, error["param"]) == (400, "stream_options")
    assert error["message"] == "Stream options can only be defined when `stream=True`."


@pytest.mark.parametrize("path, field, value", [
    ("/v1/chat/completions", "tools", [{"type": "function", "function": {"name": "f"}}]),
    ("/v1/chat/completions", "response_format", {"type": "json_object"}),
    ("/v1/chat/completions", "response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}),
    ("/v1/completions", "best_of", 3),
    ("/v1/completions", "suffix", "end")])
def test_what_is_not_built_is_refused_by_name(server, path, field, value):
    body = CHAT if "chat" in path else {"prompt": "Hi"}
    status, error = refused_field(server, path, **body, **{field: value})
    assert (status, error["type"], error["param"]) == (501, "not_supported_error", field)


def test_completion_and_answer_beyond_the_context(server):
    status, error = refused_field(server, "/v1/completions", prompt="Hi", max_tokens=9000)
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "prompt")
    assert "9000 in the completion" in error["message"]


def test_unknown_model(server):
    status, error = refused_field(server, "/v1/chat/completions", **CHAT, model="x")
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert error["message"] == "The model `x` does not exist."
    assert refusal(server, "GET", "/v1/models/x")[0] == 404


def test_unknown_path(server):
    status, error = refusal(server, "GET", "/v1/nothing/here")
    assert (status, error["type"]) == (404, "invalid_request_error")


def test_wrong_method(server):
    status, error = refusal(server, "GET", "/v1/chat/completions")
    assert (status, error["type"]) == (405, "invalid_request_error")
    assert refusal(server, "POST", "/v1/models", b"{}")[0] == 405


def test_body_over_the_limit(server):
    """Refused by its announced length, before a byte of it is sent."""
    connection = server.connection()
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert any(digit.isdigit() for digit in json.loads(response.read())["error"]["message"]), "names the limit"
    connection.close()


def test_content_that_is_not_json(server):
    status, _ = refusal(server, "POST", "/v1/chat/completions", json.dumps(CHAT), {"Content-Type": "text/plain"})
    assert status == 415


def test_request_id_is_echoed(server):
    _, headers, _ = server.request("GET", "/v1/models", headers={"X-Request-Id": "abc-123"})
    assert headers["x-request-id"] == "abc-123"
    assert server.request("GET", "/v1/models")[1]["x-request-id"]


def test_health_endpoints_answer(server):
    assert server.request("GET", "/live")[0] == 200
    assert server.request("GET", "/ready")[0] == 200
    assert server.get("/health") == {"status": "ok"}
    assert server.get("/version")["version"]


def test_metrics_are_prometheus_text(server):
    status, headers, body = server.request("GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE tandem_kv_blocks gauge" in body


def test_an_instance_takes_no_other_field_than_its_role(server):
    status, error = refused_field(server, "/cluster/instances/prefill-0", role="prefill", force=True)
    assert (status, error["param"]) == (400, "force")
